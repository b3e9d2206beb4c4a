import type { Knex } from 'knex'
import type { IsolatedContext, TaskContext } from './context.js'
import type { TaskResult } from './result.js'
import { INVALID_TASK, NOT_REGISTERED, AMBIGUOUS_APP } from './errors.js'
import type { PlainSchema, SchemaArgs, TypedSchema } from './schema-types.js'
import { checkDefinition, checkOverrides, type CheckedOptions } from './task-options.js'

/** A duration: milliseconds, or a number with a unit of ms, s, m, h, d or w, such as `'90s'`. */
export type Duration = number | string

/**
 * What `retry` may say. A bare number is `{ limit }`.
 * Defaults: limit 0, delay 1s, backoff exponential, factor 2, maxDelay 1h, jitter 0.2.
 */
export interface RetryOptions {
  /** Retries after the first attempt, 0 to 1,000. */
  limit?: number | undefined
  /** Before the first retry. */
  delay?: Duration | undefined
  /** `exponential`: delay × factor^(retry − 1); a function gives milliseconds, from the error and the attempt that failed (1 is the first). */
  backoff?: 'exponential' | 'fixed' | ((error: unknown, attempt: number) => number) | undefined
  factor?: number | undefined
  /** Of every delay, the first one too. 1h, or `delay` where that is longer. */
  maxDelay?: Duration | undefined
  /** Share of the delay, 0 to 1, by which it is spread at random. */
  jitter?: number | undefined
  /** Answers false for an error that a retry cannot mend. */
  retryIf?: ((error: unknown, attempt: number) => boolean) | undefined
}

/** What `using()` may change. `undefined` leaves a field as it is. */
export interface UsingOptions {
  /** A whole number from −100 to 100; the larger runs first. */
  priority?: number | undefined
  queueName?: string | undefined
  backend?: string | undefined
  /** Not before this moment, or this long after the enqueue; `null` clears it. */
  runAfter?: Date | Duration | null | undefined
  retry?: number | RetryOptions | undefined
  /** Of one attempt; `null` for none. */
  timeout?: Duration | null | undefined
  /** What an aborted attempt gets to settle; 5 s unless the backend says otherwise. */
  timeoutGrace?: Duration | undefined
  /** One result a key and task name; see `uniqueFor`. */
  uniqueKey?: string | null | undefined
  /** How long the key is held: while `ready`, until it ends (`unfinished`, the default), or for a duration from the enqueue. */
  uniqueFor?: 'ready' | 'unfinished' | Duration | undefined
  /** What an enqueue under a held key does; `return` (the default) gives the result that stands. */
  onConflict?: 'return' | 'replace' | 'throw' | undefined
  concurrencyKey?: string | null | undefined
  concurrencyLimit?: number | undefined
  rateLimit?: { max: number, every: Duration, key?: string | undefined } | null | undefined
  tags?: readonly string[] | undefined
  onSuccess?: AnyTask | null | undefined
  onFailure?: AnyTask | null | undefined
  /** A Knex transaction of the backend's database: the enqueue is stored when it commits, and never if it rolls back. */
  transaction?: Knex.Transaction | null | undefined
}

/** Where the function of an isolated task is: a thread imports it. */
export interface IsolationOptions {
  /** URL of the module's file: `import.meta.url`. */
  module: string
  /** The name of its export. */
  export: string
  /** Megabytes of heap, at least 16. Default: 512. */
  memoryLimit?: number | undefined
}

/** What a definition may say. `runAfter` and `transaction` belong to one enqueue and are refused here. */
export interface TaskOptions extends Omit<UsingOptions, 'runAfter' | 'transaction'> {
  /** The handler's first parameter is a {@link TaskContext}, which its callers do not enqueue. */
  takesContext?: boolean | undefined
  /** JSON Schema of the array of arguments, which types nothing. One of TypeBox types the handler, too. */
  schema?: PlainSchema | undefined
  /** Run the export of a module in a worker thread in place of the handler; killed on timeout and cancellation. */
  isolation?: IsolationOptions | undefined
}

/** As {@link TaskOptions}, with a schema that types the handler. */
export interface TypedOptions<Schema extends TypedSchema> extends Omit<TaskOptions, 'schema'> {
  schema: Schema & ([SchemaArgs<Schema>] extends [never] ? never : unknown)
}

type Handler<Args extends unknown[], Return> = (...args: Args) => Return
type Stored<Return> = Awaited<Return> extends void | undefined ? null : Awaited<Return>

/**
 * A task: a named, typed, immutable definition of work (DEP 14, "Task"). Calling it runs the function here and now and
 * stores nothing.
 *
 * @typeParam Args - what is enqueued; without the context
 * @typeParam Return - what the function returns
 * @typeParam Call - the function itself, context included
 */
export interface Task<Args extends unknown[] = any[], Return = any, Call extends (...args: any[]) => any = (...args: Args) => Return> {
  (...args: Parameters<Call>): ReturnType<Call>
  readonly name: string
  readonly func: Call
  readonly priority: number
  readonly queueName: string
  readonly backend: string
  /** A moment, or milliseconds counted from the enqueue, or null. */
  readonly runAfter: Date | number | null
  readonly takesContext: boolean
  /**
   * A checked, frozen copy with other options; this task stays as it is. Calls chain.
   * @throws FST_TASKS_INVALID_TASK
   */
  using (options?: UsingOptions): Task<Args, Return, Call>
  /**
   * Ask the app that this task is registered with to run it.
   * @returns once the result is stored
   * @throws FST_TASKS_NOT_REGISTERED, FST_TASKS_AMBIGUOUS_APP, FST_TASKS_INVALID_ARGUMENT, FST_TASKS_INVALID_TASK,
   * FST_TASKS_QUEUE_FULL, FST_TASKS_NOT_UNIQUE, FST_TASKS_STORE_UNAVAILABLE
   */
  enqueue (...args: Args): Promise<TaskResult<Stored<Return>, Args>>
  /** Enqueue once for each list of arguments, in one round trip; results in the same order. */
  enqueueMany (argsList: ReadonlyArray<Readonly<Args>>): Promise<Array<TaskResult<Stored<Return>, Args>>>
  /** @throws FST_TASKS_RESULT_NOT_FOUND, FST_TASKS_RESULT_MISMATCH, FST_TASKS_UNSUPPORTED */
  getResult (id: string): Promise<TaskResult<Stored<Return>, Args>>
}

export type AnyTask = Task<any, any, any>
export type TaskArgs<T> = T extends Task<infer Args, any, any> ? Args : never
export type TaskReturn<T> = T extends Task<any, infer Return, any> ? Stored<Return> : never
export type ResultOf<T> = TaskResult<TaskReturn<T>, TaskArgs<T>>

/** What a task needs of the app that it is registered with. */
export interface TaskApp {
  enqueueTask (task: AnyTask, argsList: ReadonlyArray<readonly unknown[]>): Promise<TaskResult[]>
  getTaskResult (task: AnyTask, id: string): Promise<TaskResult>
  /** Refuse what this task's backend cannot do. */
  checkTask (task: AnyTask): void
}

interface Definition { readonly name: string, readonly apps: Set<TaskApp> }
interface Internals { readonly definition: Definition, readonly options: CheckedOptions }

// Symbol.for, so that two copies of the package in one process know each other's tasks.
const kTask = Symbol.for('fastify-tasks.task')

/**
 * Define a task. The name is its stored identity: 1 to 128 characters of letters, digits, `_ . : -`, unique in one app.
 * Argument and return types flow from the handler to `enqueue`, `TaskResult.args` and `returnValue`.
 *
 * @throws FST_TASKS_INVALID_TASK
 * @example
 * ```ts
 * import { task } from 'fastify-tasks'
 *
 * export const add = task('math.add', async (a: number, b: number) => a + b)
 * export const buildReport = task('reports.build', { queueName: 'reports', takesContext: true },
 *   async (context, month: string) => { context.log.info({ month }, 'building') })
 * ```
 */
export function task<Args extends unknown[], Return> (name: string, handler: Handler<Args, Return>): Task<Args, Return, Handler<Args, Return>>
export function task<Schema extends TypedSchema, Return> (name: string, options: TypedOptions<Schema> & { takesContext: true, isolation: IsolationOptions }, handler: (context: IsolatedContext, ...args: SchemaArgs<Schema>) => Return): Task<SchemaArgs<Schema>, Return, (context: IsolatedContext, ...args: SchemaArgs<Schema>) => Return>
export function task<Schema extends TypedSchema, Return> (name: string, options: TypedOptions<Schema> & { takesContext: true }, handler: (context: TaskContext, ...args: SchemaArgs<Schema>) => Return): Task<SchemaArgs<Schema>, Return, (context: TaskContext, ...args: SchemaArgs<Schema>) => Return>
export function task<Schema extends TypedSchema, Return> (name: string, options: TypedOptions<Schema> & { takesContext?: false | undefined }, handler: Handler<SchemaArgs<Schema>, Return>): Task<SchemaArgs<Schema>, Return, Handler<SchemaArgs<Schema>, Return>>
export function task<Args extends unknown[], Return> (name: string, options: TaskOptions & { takesContext: true, isolation: IsolationOptions }, handler: (context: IsolatedContext, ...args: Args) => Return): Task<Args, Return, (context: IsolatedContext, ...args: Args) => Return>
export function task<Args extends unknown[], Return> (name: string, options: TaskOptions & { takesContext: true }, handler: (context: TaskContext, ...args: Args) => Return): Task<Args, Return, (context: TaskContext, ...args: Args) => Return>
export function task<Args extends unknown[], Return> (name: string, options: (TaskOptions & { takesContext?: false | undefined }) | undefined, handler: Handler<Args, Return>): Task<Args, Return, Handler<Args, Return>>
export function task (name: string, ...rest: unknown[]): AnyTask {
  const func = rest[rest.length - 1]
  const label = typeof name === 'string' ? name : String(typeof name)
  if (rest.length > 2) throw new INVALID_TASK(label, 'task() takes a name, options and a handler.')
  if (typeof func !== 'function') throw new INVALID_TASK(label, 'its handler is not a function.')
  if (isTask(func)) throw new INVALID_TASK(label, 'its handler is a task already; pass the function.')
  const given = rest.length === 2 ? rest[0] : undefined
  const options = checkDefinition(name, given === undefined ? {} : given)
  return build({ definition: { name, apps: new Set() }, options }, func as Handler<any[], any>)
}

/** True for what `task()` and `using()` return. */
export function isTask (value: unknown): value is AnyTask {
  return typeof value === 'function' && kTask in value
}

/** Two tasks are the same when they come from one `task()` call, whatever `using()` changed. */
export function isSameTask (a: AnyTask, b: AnyTask): boolean {
  return internals(a).definition === internals(b).definition
}

/** The checked options of a task: all fields present, durations in milliseconds. */
export function optionsOf (task: AnyTask): CheckedOptions {
  return internals(task).options
}

/** Called by an app's registry; the returned function takes the task off again. */
export function bindTask (task: AnyTask, app: TaskApp): () => void {
  const { apps } = internals(task).definition
  apps.add(app)
  return () => { apps.delete(app) }
}

function internals (task: AnyTask): Internals {
  return (task as unknown as Record<symbol, Internals>)[kTask] as Internals
}

function build (inner: Internals, func: Handler<any[], any>): AnyTask {
  const { definition, options } = inner
  const call = (...args: unknown[]): unknown => func(...args)
  const constant = (value: unknown, enumerable = true): PropertyDescriptor => ({ value, enumerable })
  const methods = {
    using: (overrides: UsingOptions = {}) => {
      const changed = build({ definition, options: checkOverrides(definition.name, options, overrides) }, func)
      checkIn(definition, changed)
      return changed
    },
    enqueue: async (...args: unknown[]) => (await appOf(definition).enqueueTask(self, [args]))[0],
    enqueueMany: async (argsList: ReadonlyArray<readonly unknown[]>) => await appOf(definition).enqueueTask(self, argsList),
    getResult: async (id: string) => await appOf(definition).getTaskResult(self, id)
  }
  const self = Object.defineProperties(call, {
    [kTask]: constant(inner, false),
    name: constant(definition.name),
    func: constant(func),
    priority: constant(options.priority),
    queueName: constant(options.queueName),
    backend: constant(options.backend),
    // A getter, so that no caller can change the stored Date.
    runAfter: { enumerable: true, get: () => options.runAfter instanceof Date ? new Date(options.runAfter) : options.runAfter },
    takesContext: constant(options.takesContext),
    using: constant(methods.using, false),
    enqueue: constant(methods.enqueue, false),
    enqueueMany: constant(methods.enqueueMany, false),
    getResult: constant(methods.getResult, false)
  }) as unknown as AnyTask
  return Object.freeze(self)
}

/** Which of several apps a copy is for, its enqueue will say: only what none of them can carry is refused already here. */
function checkIn ({ apps }: Definition, changed: AnyTask): void {
  let refused: Error | undefined
  for (const app of apps) {
    try {
      app.checkTask(changed)
      return
    } catch (error) {
      refused ??= error as Error
    }
  }
  if (refused !== undefined) throw refused
}

function appOf (definition: Definition): TaskApp {
  const [app, another] = definition.apps
  if (app === undefined) throw new NOT_REGISTERED(definition.name)
  if (another !== undefined) throw new AMBIGUOUS_APP(definition.name)
  return app
}
