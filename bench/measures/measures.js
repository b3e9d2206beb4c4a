import { backlog } from './backlog.js'
import { bulk } from './bulk.js'
import { callers } from './callers.js'
import { drain } from './drain.js'
import { enqueue } from './enqueue.js'
import { kinds } from './kinds.js'
import { memory } from './memory.js'
import { pickup } from './pickup.js'
import { plugin } from './plugin.js'
import { route } from './route.js'
import { scale } from './scale.js'
import { snapshot } from './snapshot.js'

/**
 * A measure is `{ name, title, takes(contestant), figures, run({ open, contestant, sizes }) }`: `run` makes one round
 * for one contestant and answers a number for each of `figures`, or null where it does not apply.
 */
export const measures = [drain, bulk, pickup, enqueue, callers, route, plugin, kinds, scale, snapshot, backlog, memory]

export function chosenMeasures (names) {
  for (const name of names) {
    if (!measures.some((measure) => measure.name === name)) throw new Error(`There is no measure ${name}. There are: ${measures.map(({ name }) => name).join(', ')}`)
  }
  return names.length === 0 ? measures : measures.filter(({ name }) => names.includes(name))
}
