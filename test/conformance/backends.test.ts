import t from 'tap'
import { BaseTaskBackend, DummyBackend, ImmediateBackend, type EnqueueRequest, type TaskResult } from 'fastify-tasks'
import { testBackend } from 'fastify-tasks/testing'
import { databases } from '../support/databases.ts'

const close = async (): Promise<void> => {}

testBackend({ name: 'immediate', test: t, create: async () => ({ definition: { backend: ImmediateBackend }, close }) })
testBackend({ name: 'dummy', test: t, runs: false, create: async () => ({ definition: { backend: DummyBackend }, close }) })

/** The least that a third party can write. */
class Minimal extends BaseTaskBackend {
  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    return requests.map((request) => this.createResult(request, { enqueuedAt: new Date() }))
  }
}
testBackend({ name: 'a minimal one', test: t, runs: false, create: async () => ({ definition: { backend: Minimal }, close }) })

for (const { name, open } of databases) {
  testBackend({
    name: `database on ${name}`,
    test: t,
    async create () {
      const { url, close } = await open({ keepTables: true })
      return { definition: { backend: 'database', url }, close }
    }
  })
}
