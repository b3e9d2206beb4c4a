import type { Procedure } from '../procedures.js'
import { claiming } from './claim-in-turn.js'
import { finishing } from './finish-plain.js'
import { storing } from './insert-alike.js'

/** Those that a connection of our own to SQLite has. */
export const PROCEDURES: readonly Procedure[] = Object.freeze([claiming, finishing, storing])
