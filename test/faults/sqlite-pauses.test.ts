import { smoke } from './smoke.ts'

smoke('sqlite', [['pauses', 2, 6], ['disk', 3, 5]])
