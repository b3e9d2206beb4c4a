import t from 'tap'
import { task } from 'fastify-tasks'
import { databases } from '../support/databases.ts'
import { setting } from '../worker/setting.ts'

// The one test that needs a process which loads TypeScript: see test/support/suite.ts.

const module = new URL('../worker/fixtures/isolated-typed.ts', import.meta.url).href

for (const database of databases) {
  t.test(`the module of an isolated task may be TypeScript where the process can load it, on ${database.name}`, async (t) => {
    const quadruple = task('iso.quadruple', { isolation: { module, export: 'quadruple' } }, (_number: number): number => { throw new Error('it ran here') })
    const { drain } = await setting(t, database, [quadruple])
    const result = await quadruple.enqueue(2)
    await drain()
    await result.refresh()
    t.equal(result.returnValue, 8, JSON.stringify(result.errors))
  })
}
