// What happened, as the process that it happened to saw it: one append-only file a process, outside of the database
// under test. A line that was written before a kill is read after it: the kernel has it by then, and what is killed here are
// processes, never the machine. Nothing is flushed to the disk, or a slow one would block the very loops that are watched.
import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/**
 * @param {string} folder
 * @param {string} name - of the process, such as `worker`
 */
export function openLedger (folder, name) {
  const file = openSync(join(folder, `${name}.${process.pid}.jsonl`), 'a')
  /**
   * @param {string} what
   * @param {Record<string, unknown>} [fields]
   */
  return (what, fields = {}) => {
    // The monotonic clock is one for all processes of a host, and no shim moves it.
    const at = Number(process.hrtime.bigint() / 1000n) / 1000
    writeSync(file, `${JSON.stringify({ what, at, pid: process.pid, ...fields })}\n`)
  }
}
