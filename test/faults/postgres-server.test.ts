import { smoke } from './smoke.ts'

smoke('postgres', [['restarts', 2, 5], ['sessions', 3, 6]])
