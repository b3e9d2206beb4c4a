// The app whose limits are watched. Each attempt says in the ledger when it begins and ends, and what it may have beside it.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import fastifyTasks, { task } from 'fastify-tasks'
import { openLedger } from './ledger.js'

const { LEDGER, ROLE = 'limited', TASKS_DATABASE_URL: url } = process.env
const note = LEDGER === undefined ? () => {} : openLedger(LEDGER, ROLE)
note('boot', { ppid: process.ppid })

export const RATE = { max: 5, every: 700 }
export const QUEUE_LIMIT = 3

async function attempt (context, fields, milliseconds) {
  const { taskResult: { id, lastAttemptedAt }, attempt, signal } = context
  note('start', { id, attempt, claimed: lastAttemptedAt.getTime(), ...fields })
  try {
    await sleep(milliseconds, undefined, { signal })
  } finally {
    note('end', { id, attempt })
  }
}

const options = { takesContext: true, retry: { limit: 1, delay: 60, jitter: 0 } }

/** Under a key. `place`: where it stands in the order of its key, null where it may come at any time. */
export const keyed = task('keyed', options, async (context, key, limit, place, milliseconds, fails) => {
  await attempt(context, { key, limit, place }, milliseconds)
  if (fails && !context.taskResult.errors.some(({ exceptionClass }) => exceptionClass === 'RangeError')) throw new RangeError('the first time')
})

export const small = task('small', { ...options, queueName: 'small' }, async (context, milliseconds) => {
  await attempt(context, { key: 'queue small', limit: QUEUE_LIMIT, place: null }, milliseconds)
})

export const rated = task('rated', { ...options, rateLimit: RATE }, async (context) => { await attempt(context, { rate: 'rated' }, 5) })

export const plain = task('plain', { takesContext: true }, async (context, milliseconds) => { await attempt(context, {}, milliseconds) })

export async function buildApp () {
  const app = Fastify({ logger: LEDGER !== undefined })
  await app.register(fastifyTasks, {
    env: false,
    tasks: [keyed, small, rated, plain],
    backends: { default: { backend: 'database', url, queues: { default: {}, small: { concurrencyLimit: QUEUE_LIMIT } }, options: { crashBudget: 50 } } }
  })
  return app
}
