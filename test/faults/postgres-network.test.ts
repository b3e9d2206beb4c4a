import { smoke } from './smoke.ts'

smoke('postgres', [['network', 1, 7]])
