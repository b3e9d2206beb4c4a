import type { Knex } from 'knex'
import type { Listener, WakeEvent } from '../store.js'
import type { Session } from '../session.js'
import { Deadline } from '../deadline.js'
import { isId } from '../verbs/read.js'
import { Spaced } from './spaced.js'
import { Listeners, type Hint, type Wake } from './wake.js'
import { HINT_QUIET_MS, HINT_REFUSED_MS, HINT_REST, LISTEN_CLOSE_MS, LISTEN_HEARTBEAT_MS, LISTEN_RECONNECT_MAX_MS, NOTIFY_INTERVAL_MS, WAIT_ROW_MS } from '../../core/limits.js'

interface Client {
  query (sql: string): Promise<unknown>
  on (event: 'notification' | 'error' | 'end', listener: (value: { payload?: string }) => void): void
  end (): Promise<void>
  connection?: { stream?: { destroy (): void } }
}

/**
 * LISTEN on a connection of its own, opened when somebody listens. A heartbeat finds a connection that is dead and does
 * not say so; while there is none, polling is the rule. NOTIFY takes a lock of all databases at commit, so it is
 * sent after the insert, at most once in 10 ms a process, and never by a finish that nobody waits for; an insert of a
 * process that has sent none for a while carries it.
 */
export class PostgresWake implements Wake {
  readonly #listeners = new Listeners()
  readonly #session: Session
  readonly #knex: Knex
  readonly #listen: boolean
  #client: Client | null = null
  #connecting: Promise<void> | null = null
  #heartbeat: NodeJS.Timeout | null = null
  #reconnect: NodeJS.Timeout | null = null
  #failures = 0
  #closed = false
  readonly #notify = new Spaced(NOTIFY_INTERVAL_MS, () => { this.#send() })
  #quietMs = HINT_QUIET_MS
  #sending: Promise<unknown> = Promise.resolve()

  constructor (session: Session, knex: Knex, listen: boolean) {
    this.#session = session
    this.#knex = knex
    this.#listen = listen
  }

  async onReady (listener: (event: WakeEvent) => void): Promise<Listener> {
    const remove = this.#listeners.addReady(listener)
    await this.#open()
    return {
      healthy: () => this.#client !== null,
      close: async () => { remove(); await this.#closeIfIdle() }
    }
  }

  async onEnded (id: string, listener: () => void): Promise<() => Promise<void>> {
    if (!this.#listen || !isId(id)) return async () => {}
    const remove = this.#listeners.addEnded(id, listener)
    await this.#open()
    const { realNow, tables } = this.#session
    // The row tells the finish that somebody waits. One that a crash left behind only costs a needless NOTIFY.
    await this.#session.write('wait for a result', `
      INSERT INTO ${tables.waits} (id, until) VALUES (?, ${realNow} + ?) ON CONFLICT (id) DO UPDATE SET until = excluded.until`, [id, WAIT_ROW_MS])
    return async () => {
      remove()
      await this.#session.write('stop waiting', `DELETE FROM ${tables.waits} WHERE id = ? OR until < ${realNow}`, [id])
      await this.#closeIfIdle()
    }
  }

  hint (): Hint | null {
    const now = performance.now()
    if (this.#closed || this.#notify.resting || now - this.#notify.lastAt < this.#quietMs) return null
    return { channel: this.#session.channel, since: now, outcome: null }
  }

  stored (hint: Hint | null = null): void {
    this.#listeners.ready()
    if (this.#closed) return
    if (hint?.outcome === 'carried') {
      // However many processes do so, and however slow a commit is, none keeps others from the lock for long.
      this.#quietMs = Math.max(HINT_QUIET_MS, HINT_REST * (performance.now() - hint.since))
      this.#notify.done()
      return
    }
    if (hint?.outcome === 'refused') this.#quietMs = HINT_REFUSED_MS
    this.#notify.ask()
  }

  ended (): void {
    this.#listeners.ended()
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#notify.close()
    await this.#sending
    await this.#connecting
    await this.#drop()
  }

  #send (): void {
    // A hint: where it fails, the workers' poll finds the rows.
    this.#sending = this.#session.write('notify workers', 'SELECT pg_notify(?, ?)', [this.#session.channel, 'ready']).catch(() => {})
  }

  async #open (): Promise<void> {
    if (!this.#listen || this.#closed || this.#client !== null) return
    this.#connecting ??= this.#connect().finally(() => { this.#connecting = null })
    await this.#connecting
  }

  async #connect (): Promise<void> {
    let client: Client | null = null
    let late = false
    const listening = async (): Promise<Client> => {
      client = await this.#knex.client.acquireRawConnection() as Client
      const opened = client
      opened.on('error', () => { void this.#lost(opened) })
      opened.on('end', () => { void this.#lost(opened) })
      opened.on('notification', ({ payload }) => { this.#hear(payload ?? '') })
      if (late) destroy(opened)
      await opened.query(`LISTEN "${this.#session.channel}"`)
      return opened
    }
    try {
      const opened = await new Deadline(this.#session.callTimeoutMs).limit(listening(), () => {
        late = true
        if (client !== null) destroy(client)
      })
      if (this.#closed) { await end(opened); return }
      this.#client = opened
      this.#failures = 0
      this.#heartbeat = setInterval(() => { void this.#beat(opened) }, LISTEN_HEARTBEAT_MS)
      this.#heartbeat.unref()
      // What happened while nobody listened.
      this.#listeners.ready()
      this.#listeners.ended()
    } catch {
      this.#later()
    }
  }

  #hear (payload: string): void {
    if (payload.startsWith('ended:')) this.#listeners.ended(payload.slice('ended:'.length))
    else this.#listeners.ready()
  }

  async #beat (client: Client): Promise<void> {
    const deadline = setTimeout(() => { destroy(client) }, LISTEN_HEARTBEAT_MS / 2)
    await client.query('SELECT 1').catch(() => this.#lost(client))
    clearTimeout(deadline)
  }

  async #lost (client: Client): Promise<void> {
    if (this.#client !== client) return
    await this.#drop()
    this.#later()
  }

  #later (): void {
    if (this.#closed || this.#reconnect !== null || !(this.#listeners.hasReady || this.#listeners.hasEnded)) return
    const pause = Math.min(LISTEN_RECONNECT_MAX_MS, 100 * 2 ** this.#failures++) * (0.5 + Math.random())
    this.#reconnect = setTimeout(() => {
      this.#reconnect = null
      void this.#open()
    }, pause)
    this.#reconnect.unref()
  }

  async #closeIfIdle (): Promise<void> {
    if (this.#listeners.hasReady || this.#listeners.hasEnded) return
    await this.#drop()
  }

  async #drop (): Promise<void> {
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat)
    if (this.#reconnect !== null) clearTimeout(this.#reconnect)
    this.#heartbeat = null
    this.#reconnect = null
    const client = this.#client
    this.#client = null
    if (client !== null) await end(client)
  }
}

function destroy (client: Client): void {
  client.connection?.stream?.destroy()
}

/** In order; or, where the other side does not take the leave, without it. */
async function end (client: Client): Promise<void> {
  await new Deadline(LISTEN_CLOSE_MS).limit(client.end(), () => { destroy(client) }).catch(() => {})
}
