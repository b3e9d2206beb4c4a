import { statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { optionsOf, type AnyTask } from '../core/task.js'
import type { CheckedIsolation } from '../core/task-options.js'
import { INVALID_TASK } from '../core/errors.js'

/** By definition: copies by using() share it, and are not looked up again. */
const found = new WeakSet<CheckedIsolation>()

/**
 * Refuse an isolation whose module is no file here. The module is not imported: it is for threads, and what it does when
 * it is loaded is not to happen in the process of the app. So its export is looked for by the first thread.
 *
 * @throws FST_TASKS_INVALID_TASK
 */
export function checkIsolationFile (task: AnyTask): void {
  const { isolation } = optionsOf(task)
  if (isolation === null || found.has(isolation)) return
  if (!isFile(isolation.module)) throw new INVALID_TASK(task.name, `isolation.module names no file: there is no ${isolation.module}. Give import.meta.url, or new URL('./file.js', import.meta.url).href.`)
  found.add(isolation)
}

function isFile (url: string): boolean {
  try {
    return statSync(fileURLToPath(url), { throwIfNoEntry: false })?.isFile() === true
  } catch {
    return false // a path through what is no folder, or a URL of another host
  }
}
