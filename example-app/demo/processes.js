// @ts-check
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const STOP_MS = 20_000 // what a child gets to end in order

/** The server and the workers as child processes, each with a log file of its own. */
export class Processes {
  /** @type {Array<{ name: string, log: string, child: import('node:child_process').ChildProcess }>} */
  #running = []
  #stopping = false
  /** @type {(error: Error) => void} */
  #fail = () => {}
  /** Rejects when a child ends by itself. @type {Promise<never>} */
  failed = new Promise((_resolve, reject) => { this.#fail = reject })

  /**
   * @param {string} folder for the logs
   * @param {NodeJS.ProcessEnv} env
   */
  constructor (folder, env) {
    this.folder = folder
    this.env = env
    this.failed.catch(() => {}) // whoever waits hears of it
  }

  /** @returns {Promise<string>} the URL that the server listens on */
  async startServer () {
    const child = this.#start('server', 'server.js', ['pipe', 'pipe', 'ipc'])
    const [{ listening }] = await Promise.race([once(child, 'message'), this.failed])
    return listening
  }

  /**
   * Start a worker, and again whenever it is killed: what systemd or a container's restart policy would do.
   *
   * @param {string} name
   * @param {(pid: number | undefined, killedBy: string | null) => void} onStart
   */
  startWorker (name, onStart, killedBy = /** @type {string | null} */ (null)) {
    const child = this.#start(name, 'worker.js', ['pipe', 'pipe'])
    onStart(child.pid, killedBy)
    child.once('exit', (_code, signal) => {
      if (signal !== null && !this.#stopping) this.startWorker(name, onStart, signal)
    })
  }

  /** Ask all to end, workers first; kill who does not. */
  async stop () {
    this.#stopping = true
    for (const { child } of this.#running.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      await exited
      clearTimeout(killer)
    }
  }

  /** The ends of the logs, for a demo that went wrong. */
  async logs () {
    const texts = await Promise.all(this.#running.map(async ({ name, log }) => {
      const lines = (await readFile(log, 'utf8')).trimEnd().split('\n')
      return [`--- ${name}`, ...lines.slice(-15)].join('\n')
    }))
    return texts.join('\n')
  }

  /**
   * @param {string} name
   * @param {string} script
   * @param {Array<'pipe' | 'ipc'>} outputs
   */
  #start (name, script, outputs) {
    const log = join(this.folder, `${name}.log`)
    const file = createWriteStream(log, { flags: 'a' })
    const child = spawn(process.execPath, [fileURLToPath(new URL(`../${script}`, import.meta.url))], {
      env: this.env, stdio: ['ignore', ...outputs]
    })
    child.stdout?.pipe(file, { end: false })
    child.stderr?.pipe(file, { end: false })
    child.once('exit', (code, signal) => {
      const willRestart = signal !== null && script === 'worker.js'
      if (!this.#stopping && !willRestart) this.#fail(new Error(`The ${name} ended by itself (${code ?? signal}).`))
    })
    this.#running.push({ name, log, child })
    return child
  }
}
