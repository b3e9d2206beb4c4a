import { smoke } from './smoke.ts'

smoke('postgres', [['network', 1, 6], ['restarts', 2, 5], ['sessions', 3, 6]])
