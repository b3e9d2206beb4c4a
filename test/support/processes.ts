import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { within } from './eventually.ts'

export interface StartOptions {
  readonly args?: readonly string[]
  /** Added to this process's environment; undefined takes a variable away. */
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** Flags for node itself. */
  readonly execArgv?: readonly string[]
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A node process under test, with what it printed. */
export interface TestProcess {
  readonly pid: number
  /** stdout and stderr, line by line, as they came. */
  readonly lines: readonly string[]
  readonly stdout: readonly string[]
  readonly stderr: readonly string[]
  /** Write to its stdin. */
  write (text: string): void
  /** Resolves with the first line, printed before or after the call, that matches. */
  line (pattern: RegExp | string, options?: { timeout?: number }): Promise<string>
  signal (signal: NodeJS.Signals): void
  /** Resolves when it is gone and all its output was read. */
  exit (options?: { timeout?: number }): Promise<Exit>
}

/**
 * Start a node script in a process group of its own, so that the end of the test ends it and all that it started.
 */
export function startProcess (t: { after: (fn: () => Promise<void>) => void }, script: string, options: StartOptions = {}): TestProcess {
  const child = spawn(process.execPath, [...options.execArgv ?? [], script, ...options.args ?? []], {
    cwd: options.cwd,
    env: environment(options.env),
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe']
  })
  const record = new Output()
  record.read(child.stdout, record.stdout)
  record.read(child.stderr, record.stderr)
  child.stdin.on('error', () => {}) // it may be gone by the time we write
  const exited = new Promise<Exit>((resolve) => { child.once('close', (code, signal) => { resolve({ code, signal }) }) })
  alive.add(child)
  child.once('error', (error) => { record.add(record.stderr, String(error)) })
  t.after(async () => {
    killGroup(child)
    await within(60_000, 'the end of a killed process', exited)
    alive.delete(child)
  })
  return {
    get pid () { return child.pid as number },
    lines: record.lines,
    stdout: record.stdout,
    stderr: record.stderr,
    write: (text) => { child.stdin.write(text) },
    line: async (pattern, { timeout = 120_000 } = {}) => await record.line(pattern, timeout, exited),
    signal: (signal) => { child.kill(signal) },
    exit: async ({ timeout = 120_000 } = {}) => {
      try {
        return await within(timeout, `the exit of ${script}`, exited)
      } catch (error) {
        throw new Error(`${(error as Error).message}; it printed:\n${record.lines.join('\n')}`)
      }
    }
  }
}

class Output {
  readonly lines: string[] = []
  readonly stdout: string[] = []
  readonly stderr: string[] = []
  readonly #waiting = new Set<(line: string) => void>()

  read (stream: Readable, into: string[]): void {
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => { this.add(into, line) })
  }

  add (into: string[], line: string): void {
    into.push(line)
    this.lines.push(line)
    for (const look of [...this.#waiting]) look(line)
  }

  async line (pattern: RegExp | string, timeout: number, exited: Promise<Exit>): Promise<string> {
    const matches = (line: string): boolean => typeof pattern === 'string' ? line.includes(pattern) : pattern.test(line)
    const known = this.lines.find(matches)
    if (known !== undefined) return known
    let look: (line: string) => void = () => {}
    const found = new Promise<string>((resolve, reject) => {
      look = (line) => { if (matches(line)) resolve(line) }
      this.#waiting.add(look)
      void exited.then(({ code, signal }) => { reject(new Error(`it ended with ${code ?? signal} before a line matched ${String(pattern)}`)) })
    })
    try {
      return await within(timeout, `a line that matches ${String(pattern)}`, found)
    } catch (error) {
      throw new Error(`${(error as Error).message}; it printed:\n${this.lines.join('\n')}`)
    } finally {
      this.#waiting.delete(look)
    }
  }
}

const alive = new Set<ChildProcess>()

// A test file that is stopped by its runner leaves nobody behind.
process.on('exit', () => { for (const child of alive) killGroup(child) })
process.once('SIGTERM', () => { process.exit(1) })

function killGroup (child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // The whole group is gone.
  }
}

/** A test runner's own variables are not for the process under test; neither are task settings of the machine. */
function environment (changes: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(?:TASKS_|TAP|_TAPJS|NODE_OPTIONS$|NODE_V8_COVERAGE$)/.test(name))
  const all = { ...Object.fromEntries(inherited), ...changes }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}
