import type { AppTasks } from './app-tasks.js'
import type { RequestTasks } from './request-tasks.js'
import type { RouteTasksConfig } from './options.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The background tasks of this app. */
    readonly tasks: AppTasks
  }
  interface FastifyRequest {
    /** Tasks that leave with this request: see `flushOn`. */
    readonly tasks: RequestTasks
  }
  interface FastifyContextConfig {
    tasks?: RouteTasksConfig | undefined
  }
}
