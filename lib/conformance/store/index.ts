import { testFunction, type TestRunner } from '../runner.js'
import { Bench, type StoreUnderTest } from './bench.js'
import { cancelChapter } from './cancel.js'
import { claimChapter } from './claim.js'
import { controlChapter } from './control.js'
import { finishChapter } from './finish.js'
import { insertChapter } from './insert.js'
import { limitedChapter } from './limited.js'
import { limitedOrderChapter } from './limited-order.js'
import { lookChapter } from './look.js'
import { pausedChapter } from './paused.js'
import { rateChapter } from './rate.js'
import { readChapter } from './read.js'
import { rescueChapter } from './rescue.js'
import { transactionChapter } from './transaction.js'
import { transitionsChapter } from './transitions.js'
import { uniqueChapter } from './unique.js'
import { uniqueAgainChapter } from './unique-again.js'

/** What {@link testStore} needs. */
export interface StoreSuite {
  /** Put before the name of every test. */
  readonly name?: string | undefined
  readonly test: TestRunner
  /** Called once a test: a store, opened, on tables that are empty. */
  readonly open: () => Promise<StoreUnderTest>
}

/**
 * Declare the tests of every promise that a store makes, in a runner of your choice. A dialect or a store of a third
 * party that passes them carries the database backend and the worker.
 *
 * @example
 * ```ts
 * import { test } from 'node:test'
 * import { testStore, type StoreUnderTest } from 'fastify-tasks/testing'
 *
 * declare function openMyStore (): Promise<StoreUnderTest>
 *
 * testStore({ name: 'my store', test, open: openMyStore })
 * ```
 */
export function testStore ({ name = '', test, open }: StoreSuite): void {
  const declare = testFunction(test, name)
  const chapters = [insertChapter, claimChapter, finishChapter, rescueChapter, controlChapter, cancelChapter, transitionsChapter, uniqueChapter, uniqueAgainChapter, limitedChapter, limitedOrderChapter, lookChapter, pausedChapter, rateChapter, transactionChapter, readChapter]
  for (const chapter of chapters) {
    chapter((title, body) => {
      declare(title, async () => {
        const subject = await open()
        try {
          await body(new Bench(subject))
        } finally {
          await subject.close()
        }
      })
    })
  }
}
