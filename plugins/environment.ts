import type { FastifyInstance } from 'fastify'
import { WORKER_OPTIONS } from '../lib/worker/options.js'

/** The variables of the plugin itself; `TASKS_WORKER_*` come from the table of worker options. */
export const VARIABLES = Object.freeze([
  'TASKS_BACKEND',
  'TASKS_DATABASE_URL',
  'TASKS_SCHEMA',
  'TASKS_TABLE_PREFIX',
  'TASKS_MIGRATE',
  'TASKS_QUEUES',
  'TASKS_BACKENDS',
  'TASKS_EMBEDDED_WORKER'
] as const)

export type Variable = typeof VARIABLES[number]

/** What was set, as text: an empty variable counts as unset. */
export type Environment = Readonly<Partial<Record<Variable, string>> & Record<string, string | undefined>>

const CONF_KEY = 'fastifyTasksEnvironment'

/**
 * Read the variables by @fastify/env, in a child context: it decorates `getEnvs` and its `confKey` on the instance that
 * it is registered with, and these belong to the app.
 */
export async function readEnvironment (app: FastifyInstance): Promise<Environment> {
  const names = [...VARIABLES, ...WORKER_OPTIONS.map(({ env }) => env)]
  // Strings all: the checks that follow name the variable and never repeat its value, which may hold a password.
  const schema = { type: 'object', properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) }
  // It loads Ajv, which an app that reads no environment, or a supervisor, which boots none, has no use for.
  const { default: fastifyEnv } = await import('@fastify/env')
  let found: Record<string, string> = {}
  await app.register(async (child) => {
    await child.register(fastifyEnv, { schema, confKey: CONF_KEY })
    found = (child as unknown as Record<string, Record<string, string>>)[CONF_KEY] as Record<string, string>
  })
  return Object.freeze(Object.fromEntries(Object.entries(found).filter(([, value]) => value !== '')))
}
