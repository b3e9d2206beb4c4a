import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import type { Knex } from 'knex'
import { BaseTaskBackend } from '../lib/backends/base.js'
import { INVALID_CONFIG, INVALID_TASK, UNSUPPORTED } from '../lib/core/errors.js'
import { CLIENT_GONE_GRACE_MS } from '../lib/core/limits.js'
import { briefFailure } from '../lib/core/failure.js'
import type { TaskResult } from '../lib/core/result.js'
import { optionsOf, type AnyTask } from '../lib/core/task.js'
import { openTransaction, type TransactionScope } from '../lib/run/open-transaction.js'
import { flushFailed, flushForSure, flushNow, idsOf, type HeldEnqueue } from './flush.js'
import type { RouteTasksConfig } from './options.js'
import type { RequestCollections } from './request-collections.js'
import { RequestTasks } from './request-tasks.js'
import { RouteTransaction } from './route-transaction.js'
import type { TaskCore } from './task-core.js'

/**
 * What one request collected, from the first touch of `request.tasks` until it has left or was dropped, which happens
 * once:
 *
 * - `flushOn: 'onSend'`: in our onSend hook; the reply waits;
 * - else when the response has finished;
 * - where the client is gone before that: when the handler has ended;
 * - before all of these by `flush()`.
 */
export class RequestCollection {
  readonly tasks: RequestTasks
  readonly scope: TransactionScope = { open: null }
  readonly #collections: RequestCollections
  readonly #core: TaskCore
  readonly #config: RouteTasksConfig
  /** Null once it is over, and what it collected leaves: that is not to keep the request, and all that hangs on it, until the database has answered. */
  #request: FastifyRequest | null
  #reply: FastifyReply | null = null
  #lastLog: FastifyBaseLogger
  #items: HeldEnqueue[] = []
  #state: 'open' | 'leaving' | 'left' | 'dropped' = 'open'
  #rejected = false
  #replied = false
  #gone = false
  #finished = false
  #opening: Promise<RouteTransaction> | null = null
  #flushing: Promise<void> | null = null
  #replying: Promise<void> | null = null
  #grace: NodeJS.Timeout | undefined
  #over = false
  /** Made when somebody asks for it: most requests leave with nobody waiting. */
  #ended: Promise<void> | null = null
  #end: () => void = () => {}

  constructor (collections: RequestCollections, core: TaskCore, request: FastifyRequest, config: RouteTasksConfig) {
    this.#collections = collections
    this.#core = core
    this.#request = request
    this.#lastLog = request.log
    this.#config = config
    this.tasks = new RequestTasks(this)
  }

  /** Resolves when it has left or was dropped. */
  get ended (): Promise<void> {
    this.#ended ??= this.#over ? Promise.resolve() : new Promise((resolve) => { this.#end = resolve })
    return this.#ended
  }

  /** True where app.close() has to wait for it. */
  get isPending (): boolean {
    return this.#items.length > 0 || this.#opening !== null || this.#state === 'leaving'
  }

  /** The reply is known: from now on its end is heard of. */
  attach (reply: FastifyReply): void {
    if (this.#reply !== null || this.#request === null) return
    this.#reply = reply
    const { raw } = reply
    if (raw.writableEnded) { // touched after the response: there is no end to wait for
      this.#settle('left')
      return
    }
    // An HTTP/2 response has no `destroyed`; its stream has.
    if (raw.destroyed || (raw as { stream?: { destroyed?: boolean } }).stream?.destroyed === true) this.#clientGone()
    raw.once('finish', () => {
      // HTTP/2 says `finish` as well where the client has reset the stream, and nothing was ended.
      this.#finished = raw.writableEnded
      if (this.#finished) void this.leave()
      else this.#clientGone()
    })
    raw.once('close', () => { this.#clientGone() })
  }

  add (given: AnyTask | string, args: readonly unknown[]): TaskResult {
    const task = this.#core.resolve(given)
    const { onConflict, transaction } = optionsOf(task)
    if (onConflict === 'throw') throw new INVALID_TASK(task.name, "request.tasks cannot refuse a duplicate (onConflict 'throw') once the reply has left; use app.tasks.enqueue().")
    if (transaction !== null) throw new INVALID_TASK(task.name, 'request.tasks would use the transaction after it has ended; use app.tasks.enqueue(), or request.tasks.transaction().')
    const backend = this.#core.accepting(task)
    const request = this.#core.request(task, args, backend)
    const item: HeldEnqueue = { backend, request, held: BaseTaskBackend.hold(backend, request, () => this.#withdraw(item)) }
    if (this.#state === 'open' || this.#state === 'leaving') this.#items.push(item)
    else if (this.#state === 'left') this.#collections.track(flushForSure(this.#core, [item], this.#log))
    else this.#drop([item])
    return item.held.result
  }

  async flush (): Promise<void> {
    this.#flushing ??= this.#state === 'open' ? this.#flush() : this.ended
    await this.#flushing
  }

  async transaction (): Promise<Knex.Transaction> {
    const { transaction } = this.#config
    if (transaction === undefined || transaction === false) {
      const request = this.#request
      const { method, url } = request?.routeOptions ?? {}
      throw new INVALID_CONFIG(request === null ? 'The route of this request' : `Route ${String(method)} ${url ?? request.url}`, 'request.tasks.transaction() needs config: { tasks: { transaction: true } }, or an alias.')
    }
    const alias = transaction === true ? 'default' : transaction
    if (this.#state !== 'open' || this.#replied) throw new UNSUPPORTED(alias, 'a transaction after the reply has left')
    // Where the route's hooks have not entered the scope (it was declared before the plugin): from here on.
    if (openTransaction.getStore() !== this.scope) openTransaction.enterWith(this.scope)
    this.#opening ??= RouteTransaction.open(this.#core.backend(alias), this.scope)
    try {
      return (await this.#opening).transaction
    } catch (error) {
      this.#opening = null
      throw error
    }
  }

  /** Our onSend hook. Answers what the reply has to wait for; its rejection becomes the reply. */
  beforeReply (payload: unknown): Promise<void> | undefined {
    if (this.#state !== 'open') return undefined
    this.#replied = true
    // A stream may go on for hours: flushed() does not wait for it.
    if (typeof (payload as { pipe?: unknown } | null)?.pipe !== 'function') this.#collections.expect(this)
    if (this.#flushing !== null) return this.#flushing
    if (this.#opening !== null || this.#config.flushOn === 'onSend') {
      this.#replying = this.#leaveBeforeReply().finally(() => { this.#replying = null })
      return this.#replying
    }
    if (this.#gone) void this.leave()
    return undefined
  }

  /** What the handler returned, told where the client was gone before it began. */
  handling (returned: unknown): void {
    if (this.#gone) this.#awaitHandler(returned)
  }

  /** The response has finished, or will not: leave or be dropped. Never rejects. */
  async leave (): Promise<void> {
    // Awaits nothing that is not there: each request that enqueues comes through here.
    if (this.#replying !== null) await this.#replying.catch(() => {}) // the reply has its error
    if (this.#state !== 'open') return
    this.#state = 'leaving'
    this.#collections.expect(this)
    try {
      const dropped = this.#isDropped()
      const drop = typeof dropped === 'boolean' ? dropped : await dropped
      this.#forgetRequest()
      if (this.#opening !== null) await this.#rollback()
      if (drop) {
        this.#drop(this.#take())
        this.#state = 'dropped'
        return
      }
      const items = this.#take()
      this.#state = 'left'
      if (items.length > 0) await flushForSure(this.#core, items, this.#log)
    } finally {
      this.#settle(this.#state === 'dropped' ? 'dropped' : 'left')
    }
  }

  #forgetRequest (): void {
    this.#lastLog = this.#log
    this.#request = null
    this.#reply = null
  }

  /** A hook may give the request another one. */
  get #log (): FastifyBaseLogger { return this.#request?.log ?? this.#lastLog }

  async #flush (): Promise<void> {
    await this.#commit()
    const items = this.#take()
    this.#state = 'left'
    this.#collections.expect(this)
    try {
      const lost = await flushForSure(this.#core, items, this.#log)
      if (lost !== null) throw flushFailed(items.length, lost)
    } finally {
      this.#settle('left')
    }
  }

  async #leaveBeforeReply (): Promise<void> {
    const drop = await this.#isDropped()
    if (drop || this.#gone) await this.#rollback()
    else await this.#commit()
    if (this.#gone) void this.leave() // a refusal would be told to nobody
    if (this.#gone || this.#config.flushOn !== 'onSend' || this.#state !== 'open') return
    const items = this.#take()
    if (drop) {
      this.#drop(items)
      this.#settle('dropped')
      return
    }
    this.#state = 'left'
    try {
      if (items.length > 0) await flushNow(this.#core, items, this.#log)
      this.#settle('left')
    } catch (error) {
      if (this.#gone) await flushForSure(this.#core, items, this.#log)
      else for (const { held } of items) held.drop()
      this.#settle(this.#gone ? 'left' : 'dropped')
      throw error
    }
  }

  #isDropped (): boolean | Promise<boolean> {
    const [request, reply] = [this.#request, this.#reply]
    const failed = this.#rejected || (request !== null && this.#collections.hasThrown(request)) || (reply !== null && reply.statusCode >= 500)
    const { discardOn } = this.#core.settings
    if (discardOn === undefined || request === null || reply === null) return failed
    return this.#askWhether(discardOn, request, reply, failed)
  }

  async #askWhether (discardOn: NonNullable<TaskCore['settings']['discardOn']>, request: FastifyRequest, reply: FastifyReply, failed: boolean): Promise<boolean> {
    try {
      return Boolean(await discardOn(request, reply))
    } catch (error) {
      this.#log.error(briefFailure(error), 'discardOn failed; the default rule holds')
      return failed
    }
  }

  /** Commit the transaction with what was collected for its backend, where one is open. */
  async #commit (): Promise<void> {
    const transaction = await this.#takeTransaction()
    if (transaction === null) return
    const items = this.#take((item) => item.backend === transaction.backend)
    const results = await transaction.commit(items.map(({ request }) => request)).catch((error: unknown) => {
      for (const { held } of items) held.drop()
      throw error
    })
    for (const [index, { held }] of items.entries()) held.follow(results[index] as TaskResult)
  }

  async #rollback (): Promise<void> {
    const transaction = await this.#takeTransaction()
    if (transaction === null) return
    this.#drop(this.#take((item) => item.backend === transaction.backend))
    await transaction.rollback()
  }

  async #takeTransaction (): Promise<RouteTransaction | null> {
    const opening = this.#opening
    this.#opening = null
    if (opening === null) return null
    const transaction = await opening.catch(() => null)
    if (transaction?.isCompleted !== true) return transaction
    await transaction.rollback() // the handler has ended it; this gives up what we hold for it
    return null
  }

  #take (which?: (item: HeldEnqueue) => boolean): HeldEnqueue[] {
    const all = this.#items
    this.#items = which === undefined ? [] : all.filter((item) => !which(item))
    return which === undefined ? all : all.filter(which)
  }

  #withdraw (item: HeldEnqueue): boolean {
    const index = this.#items.indexOf(item)
    if (index >= 0) this.#items.splice(index, 1)
    return index >= 0
  }

  #drop (items: readonly HeldEnqueue[]): void {
    for (const { held } of items) held.drop()
    if (items.length > 0) this.#log.info({ tasks: idsOf(items) }, 'the tasks of a failed request were dropped')
  }

  #clientGone (): void {
    if (this.#state !== 'open' || this.#finished || this.#gone || this.#request === null) return
    this.#gone = true
    this.#collections.expect(this)
    if (this.#replied) void this.leave()
    else this.#awaitHandler(this.#collections.handlingOf(this.#request))
  }

  /**
   * The client is gone, and `finish` will not come. The handler ends in one of these: its promise rejects; it resolves
   * with a value, which Fastify sends, so that onSend comes; it resolves with nothing; or it calls reply.send() some
   * time, or never, which is what the grace is for.
   */
  #awaitHandler (returned: unknown): void {
    clearTimeout(this.#grace)
    const soon = (): void => { setImmediate(() => { void this.leave() }) }
    const later = (): void => {
      // It may have left by itself, with flush().
      if (this.#state === 'open') this.#grace = setTimeout(() => { void this.leave() }, CLIENT_GONE_GRACE_MS)
    }
    const isHijacked = (): boolean => this.#reply?.sent === true
    if (typeof (returned as PromiseLike<unknown> | null | undefined)?.then !== 'function') {
      if (isHijacked()) soon()
      else later()
      return
    }
    (returned as PromiseLike<unknown>).then(
      (value) => { if (value === undefined || isHijacked()) soon(); else later() },
      () => { this.#rejected = true; soon() }
    )
  }

  #settle (state: 'left' | 'dropped'): void {
    clearTimeout(this.#grace)
    this.#forgetRequest()
    this.#state = state
    this.#collections.forget(this)
    this.#over = true
    this.#end()
  }
}
