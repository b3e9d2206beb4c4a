import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { CLOSE_GRACE_MS } from '../lib/core/limits.js'
import { openTransaction } from '../lib/run/open-transaction.js'
import { checkRouteConfig } from './config.js'
import type { RouteTasksConfig } from './options.js'
import { RequestCollection } from './request-collection.js'
import type { TaskCore } from './task-core.js'

const kCollection = Symbol('fastify-tasks.collection')
const kReply = Symbol('fastify-tasks.reply')
const kHandling = Symbol('fastify-tasks.handling')
const kThrew = Symbol('fastify-tasks.threw')

/** Absent in a plugin that was registered before ours: its requests were given their properties earlier. */
interface Slots {
  [kCollection]?: RequestCollection | null
  [kReply]?: FastifyReply | null
  /** What the handler returned. */
  [kHandling]?: unknown
  /** The handler or a hook threw, or an error was sent. */
  [kThrew]?: boolean
}

/** The collections of an app's requests. A request that never touches `request.tasks` makes none. */
export class RequestCollections {
  readonly #core: TaskCore
  readonly #open = new Set<RequestCollection>()
  /** Those that flushed() waits for, and what was enqueued after its collection had left. */
  readonly #leaving = new Set<RequestCollection>()
  readonly #late = new Set<Promise<unknown>>()
  readonly #configs = new WeakMap<object, RouteTasksConfig>()

  constructor (core: TaskCore) {
    this.#core = core
  }

  /** Decorate requests, and listen to the ways in which they end. */
  install (app: FastifyInstance): void {
    const collections = this
    app.decorateRequest(kCollection as unknown as string, null)
    app.decorateRequest(kReply as unknown as string, null)
    app.decorateRequest(kHandling as unknown as string, undefined)
    app.decorateRequest(kThrew as unknown as string, false)
    app.decorateRequest('tasks', { getter (this: FastifyRequest) { return collections.of(this).tasks } })
    // Every request pays for these, so they do next to nothing.
    app.addHook('onRequest', (request, reply, done) => {
      const slots = request as unknown as Slots
      slots[kReply] = reply
      slots[kCollection]?.attach(reply) // an earlier hook touched request.tasks
      done()
    })
    app.addHook('onSend', (request, reply, payload, done) => {
      const collection = (request as unknown as Slots)[kCollection]
      if (collection === null || collection === undefined) {
        done()
        return
      }
      collection.attach(reply) // an earlier hook replied before ours ran
      const leaving = collection.beforeReply(payload)
      if (leaving === undefined) done()
      else leaving.then(() => { done() }, done)
    })
    app.addHook('onError', (request, _reply, _error, done) => {
      (request as unknown as Slots)[kThrew] = true
      done()
    })
    app.addHook('onRoute', (route) => { this.#onRoute(route) })
  }

  of (request: FastifyRequest): RequestCollection {
    const slots = request as unknown as Slots
    const known = slots[kCollection] ?? null
    if (known !== null) return known
    const collection = new RequestCollection(this, this.#core, request, this.#configOf(request))
    slots[kCollection] = collection
    this.#open.add(collection)
    const reply = slots[kReply] ?? null
    if (reply !== null) collection.attach(reply)
    return collection
  }

  handlingOf (request: FastifyRequest): unknown {
    return (request as unknown as Slots)[kHandling]
  }

  hasThrown (request: FastifyRequest): boolean {
    return (request as unknown as Slots)[kThrew] === true
  }

  /** It is about to leave: flushed() waits until it has. */
  expect (collection: RequestCollection): void {
    this.#leaving.add(collection)
  }

  forget (collection: RequestCollection): void {
    this.#open.delete(collection)
    this.#leaving.delete(collection)
  }

  /** flushed() and app.close() wait for it. */
  track (work: Promise<unknown>): void {
    const settled = work.then(() => {}, () => {}).finally(() => { this.#late.delete(settled) })
    this.#late.add(settled)
  }

  async flushed (): Promise<void> {
    while (this.#leaving.size + this.#late.size > 0) await Promise.all([...this.#late, ...[...this.#leaving].map(async ({ ended }) => { await ended })])
  }

  /** The app is closing, and the server has ended its requests: what is left has a handler whose client is gone, or none. */
  async close (): Promise<void> {
    const pending = [...this.#open].filter((collection) => collection.isPending)
    let timer: NodeJS.Timeout | undefined
    const grace = new Promise<void>((resolve) => { timer = setTimeout(resolve, CLOSE_GRACE_MS) })
    if (pending.length > 0) await Promise.race([grace, Promise.all(pending.map(async ({ ended }) => { await ended }))])
    clearTimeout(timer)
    await Promise.all([...this.#open].map(async (collection) => { await collection.leave() }))
    await this.flushed()
  }

  #configOf (request: FastifyRequest): RouteTasksConfig {
    const { config, method, url } = request.routeOptions
    const given = config?.tasks
    const { flushOn } = this.#core.settings
    if (given === undefined || given === null) return { flushOn }
    const known = this.#configs.get(given)
    if (known !== undefined) return known
    const { flushOn: own = flushOn, transaction } = checkRouteConfig(given, `${String(method)} ${url ?? ''}`)
    const checked = { flushOn: own, transaction }
    this.#configs.set(given, checked)
    return checked
  }

  #onRoute (route: RouteOptions): void {
    const { transaction } = checkRouteConfig(route.config?.tasks, `${String(route.method)} ${route.url}`)
    if (typeof transaction === 'string') this.#core.backend(transaction)
    const { handler } = route
    route.handler = function (request, reply) {
      const returned: unknown = handler.call(this, request, reply)
      const slots = request as unknown as Slots
      slots[kHandling] = returned
      slots[kCollection]?.handling(returned)
      return returned
    }
    if (transaction === undefined || transaction === false) return
    const enter = (request: FastifyRequest, _reply: FastifyReply, done: () => void): void => {
      openTransaction.run(this.of(request).scope, done)
    }
    route.onRequest = [enter, ...listOf(route.onRequest)]
    // Again: the body was read by events of the socket, which know nothing of this scope.
    route.preHandler = [enter, ...listOf(route.preHandler)]
  }
}

function listOf<Hook> (hooks: Hook | Hook[] | undefined): Hook[] {
  return hooks === undefined ? [] : Array.isArray(hooks) ? hooks : [hooks]
}
