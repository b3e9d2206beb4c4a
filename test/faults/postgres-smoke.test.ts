import { smoke } from './smoke.ts'

smoke('postgres', [['network', 1, 4], ['restarts', 2, 4], ['sessions', 3, 4]])
