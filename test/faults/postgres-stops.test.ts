import { smoke } from './smoke.ts'

smoke('postgres', [['stops', 4, 6]])
