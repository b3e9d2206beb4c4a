import { describeFailure } from '../core/failure.js'
import { Exit } from './isolated-guard.js'

/** What the task names cannot be called: no further attempt would find it either. */
export class Unusable extends Error {}

export type Exported = (...values: readonly unknown[]) => unknown

/** Import the module of an isolated task, in its thread, and find the function. @throws Unusable */
export async function loadExport (module: string, name: string): Promise<Exported> {
  let loaded: Record<string, unknown>
  try {
    loaded = await load(module)
  } catch (error) {
    if (error instanceof Exit) throw error
    const { exceptionClass, message } = describeFailure(error, 1, 0)
    throw new Unusable(`its isolation.module cannot be loaded in a thread: ${exceptionClass}: ${message}`, { cause: error })
  }
  // Of a CommonJS module Node.js knows the exports that it can read off the text, and all of them as its default.
  const found = [loaded, loaded['default'] as Record<string, unknown> | null | undefined].map((exports) => exports?.[name])
  const exported = found.find((value) => typeof value === 'function')
  if (exported === undefined) throw new Unusable(`${module}, which is its isolation.module, exports no function '${name}'.`)
  return exported as Exported
}

const TYPESCRIPT = /\.[cm]?tsx?$/
const TSX: string = 'tsx/esm/api' // the app's, where it has one
let isReady = false

async function load (module: string): Promise<Record<string, unknown>> {
  if (!isReady && TYPESCRIPT.test(new URL(module).pathname)) {
    isReady = true
    await registerTsx()
  }
  return await import(module) as Record<string, unknown>
}

/** A process that was started with tsx has its loader in the main thread alone. Threads inherit its flags. */
async function registerTsx (): Promise<void> {
  if (!process.execArgv.some((flag) => /\btsx\b/.test(flag))) return
  try {
    const { register } = await import(TSX) as { register: () => unknown }
    register()
  } catch {
    // not to be found from here: the import of the module says what is missing
  }
}
