import t from 'tap'
import { DummyBackend, ImmediateBackend } from 'fastify-tasks'
import { testBackend } from 'fastify-tasks/testing'
import { databases } from '../support/databases.ts'

const close = async (): Promise<void> => {}

testBackend({ name: 'immediate', test: t, create: async () => ({ definition: { backend: ImmediateBackend }, close }) })
testBackend({ name: 'dummy', test: t, runs: false, create: async () => ({ definition: { backend: DummyBackend }, close }) })

for (const { name, open } of databases) {
  testBackend({
    name: `database on ${name}`,
    test: t,
    async create () {
      const { url, close } = await open()
      return { definition: { backend: 'database', url }, close }
    }
  })
}
