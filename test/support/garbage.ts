import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')

/** Collect all that nothing holds. A WeakRef holds on until the end of the turn that made it. */
export const collectGarbage = runInNewContext('gc') as () => void
