import * as table from './core/errors.js'

export { fastifyTasks, fastifyTasks as default } from '../plugins/tasks.js'
export type { FastifyTasksOptions, FlushOn, RouteTasksConfig } from '../plugins/options.js'
export type { AppTasks, OnBackend } from '../plugins/app-tasks.js'
export type { RequestTasks } from '../plugins/request-tasks.js'
export type { TaskFilter, TaskListFilter } from '../plugins/filters.js'
export type {} from '../plugins/types.js'

export { task } from './core/task.js'
export type { AnyTask, Duration, IsolationOptions, ResultOf, RetryOptions, Task, TaskArgs, TaskOptions, TaskReturn, TypedOptions, UsingOptions } from './core/task.js'
export type { PlainSchema, SchemaArgs, TypedSchema } from './core/schema-types.js'
export type { IsolatedContext, TaskContext } from './core/context.js'
export type { ResultFields, TaskError, TaskResult } from './core/result.js'
export { TaskResultStatus } from './core/status.js'
export { FatalTaskError } from './core/errors.js'

export { BaseTaskBackend } from './backends/base.js'
export type { BackendConfig, EnqueueRequest, QueueLimits } from './backends/base.js'
export type { BackendClass, BackendName, BackendOptions } from './backends/backends.js'
export type { BackendControl, BackendHealth, BackendStats, ListRequest, ResultFilter, ResultPage, ResultSelection } from './backends/control.js'
export type { RunOptions, Serializer } from './backends/run-options.js'
export { ImmediateBackend } from './backends/immediate.js'
export { DummyBackend } from './backends/dummy.js'
export { DatabaseBackend } from './backends/database.js'
export type { DatabaseConfig } from './backends/database.js'
export type { HookName, TaskHook } from './run/events.js'
export type { QueueStats } from './store/store.js'

const { FatalTaskError: _, ...classes } = table

/** The errors that this package throws, by their names without `FST_TASKS_`: `error instanceof errors.QUEUE_FULL`. */
export const errors: Readonly<typeof classes> = Object.freeze(classes)
