import { smoke } from './smoke.ts'

smoke('sqlite', [['deaths', 1, 6], ['pauses', 2, 6], ['disk', 3, 4]])
