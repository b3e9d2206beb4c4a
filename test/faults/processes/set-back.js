// A store on SQLite in a process whose date its parent moves: does what it is told on stdin, a number and a word a line, and answers.
import { createInterface } from 'node:readline'
import { openStore } from '#lib/store/index.js'
import { newRow, TestWorker } from '#lib/conformance/store/bench.js'

const store = openStore({ url: process.argv[2] })
await store.open()
const worker = new TestWorker(store, ['test.task'], 'default')
await worker.register(600_000, true)

const verbs = {
  date: async () => Date.now(),
  insert: async () => {
    const [{ row }] = await store.insert([newRow()])
    return row.enqueuedAt
  },
  renew: async () => (await store.renew(worker.id, { leaseMs: 600_000, running: 0 })).held,
  rescue: async () => (await store.rescue({ backend: 'default', crashBudget: 3 })).workers.length,
  claim: async () => (await worker.claim()).length,
  workers: async () => (await store.stats('default')).workers.length
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  const [number, verb] = line.split(' ')
  console.log(`${number} ${JSON.stringify(await verbs[verb]())}`)
})
console.log('ready')
