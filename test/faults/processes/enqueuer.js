// Enqueues until it is told to stop, and says in the ledger what it asked for and what it was answered.
import { setTimeout as sleep } from 'node:timers/promises'
import { block, buildApp, doomed, fast, flaky, note, slow } from './app.js'
import { randomFrom } from './random.js'

const tasks = { fast, slow, block, flaky, doomed }
const random = randomFrom(Number(process.env.SEED))
const PAUSE_MS = Number(process.env.PAUSE_MS)
const LOOPS = 3
const stop = new AbortController()
process.on('SIGTERM', () => { stop.abort() })

const app = await buildApp()
await app.ready()
note('ready')
let count = 0
await Promise.all(Array.from({ length: LOOPS }, async () => {
  while (!stop.signal.aborted) {
    await one()
    await sleep(PAUSE_MS * LOOPS * 2 * random(), undefined, { signal: stop.signal }).catch(() => {})
  }
}))
await app.close()

async function one () {
  const [name, milliseconds] = kind()
  const delay = random() < 0.15 ? Math.round(random() * 1_500) : null
  const keys = Array.from({ length: random() < 0.2 ? 5 : 1 }, () => `${process.pid}-${++count}`)
  for (const key of keys) note('asked', { key, name, delay })
  try {
    const task = delay === null ? tasks[name] : tasks[name].using({ runAfter: delay })
    const results = keys.length === 1
      ? [await task.enqueue(keys[0], milliseconds)]
      : await task.enqueueMany(keys.map((key) => [key, milliseconds]))
    for (const [index, { id }] of results.entries()) note('accepted', { key: keys[index], id })
  } catch (error) {
    for (const key of keys) note('refused-enqueue', { key, code: String(error.code), message: error.message })
  }
}

function kind () {
  const draw = random()
  if (draw < 0.45) return ['fast', 0]
  if (draw < 0.85) return ['slow', Math.round(30 + random() * 700)]
  if (draw < 0.92) return ['flaky', 0]
  if (draw < 0.97) return ['doomed', 0]
  return ['block', Math.round(50 + random() * 250)]
}
