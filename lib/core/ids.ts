import { randomFillSync } from 'node:crypto'
import { v7 } from 'uuid'

const POOL_BYTES = 4096 // asking the system for 16 bytes at a time costs more than all the rest of an id

const pool = Buffer.alloc(POOL_BYTES)
let used = POOL_BYTES
let milliseconds = 0
let sequence = 0

/**
 * A UUIDv7. Those of one process sort in the order in which they were made, also within a millisecond and where the
 * clock is set back.
 */
export function newId (): string {
  if (used === POOL_BYTES) {
    randomFillSync(pool)
    used = 0
  }
  const random = pool.subarray(used, used += 16)
  const now = Date.now()
  if (now > milliseconds) {
    milliseconds = now
    sequence = random.readUInt32BE(6) >>> 1 // the upper half is room to count in
  } else {
    sequence = (sequence + 1) >>> 0
    if (sequence === 0) milliseconds += 1
  }
  return v7({ random, msecs: milliseconds, seq: sequence })
}
