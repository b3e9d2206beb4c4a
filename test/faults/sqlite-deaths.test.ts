import { smoke } from './smoke.ts'

smoke('sqlite', [['deaths', 1, 6]])
