import { testFunction } from '../runner.js'
import { BackendBench, type BackendSuite } from './bench.js'
import { definitionChapter } from './definition.js'
import { enqueueChapter } from './enqueue.js'
import { eventsChapter } from './events.js'
import { resultChapter } from './result.js'
import { runChapter } from './run.js'

/**
 * Declare the tests of every promise that a backend makes to those who enqueue, in a runner of your choice. What a
 * capability flag says is tested from both sides: true, and it works; false, and it is refused.
 *
 * @example
 * ```ts
 * import { test } from 'node:test'
 * import { DummyBackend } from 'fastify-tasks'
 * import { testBackend } from 'fastify-tasks/testing'
 *
 * class MyBackend extends DummyBackend {}
 *
 * testBackend({
 *   name: 'my backend',
 *   test,
 *   runs: false,
 *   create: async () => ({ definition: { backend: MyBackend }, close: async () => {} })
 * })
 * ```
 */
export function testBackend (suite: BackendSuite): void {
  const declare = testFunction(suite.test, suite.name ?? '')
  for (const chapter of [definitionChapter, enqueueChapter, resultChapter, runChapter, eventsChapter]) {
    chapter((title, body) => {
      declare(title, async () => {
        const subject = await suite.create()
        const bench = new BackendBench(subject, suite)
        try {
          await body(bench)
        } finally {
          await bench.close()
          await subject.close()
        }
      })
    }, suite)
  }
}
