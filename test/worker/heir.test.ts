import t from 'tap'
import type { DatabaseBackend } from '#lib/backends/database.js'
import type { TasksHost } from '#lib/core/host.js'
import type { Ending } from '#lib/store/store.js'
import { settleEstates } from '#lib/worker/heir.js'
import { accepted, claimedRow, fakeLog, fakeStore } from './fake-store.ts'

t.test('a result that cannot be read for its hooks keeps no estate from being settled', async (t) => {
  const { log, lines } = fakeLog()
  const [settled, told]: [string[], string[]] = [[], []]
  const store = fakeStore({
    finish: async (_worker, endings) => accepted(endings),
    get: async (id) => claimedRow({ id, status: 'FAILED' }),
    deregister: async (worker) => { settled.push(worker) }
  })
  const host = { log, events: { wants: () => true, emit: (_name: string, { id }: { id: string }) => { told.push(id) } } } as unknown as TasksHost
  const backend = {
    store,
    decodeRow: async ({ id }: { id: string }) => {
      if (id === 'unreadable') throw new Error('no such key')
      return { id }
    },
    resultOf: (fields: unknown) => fields
  } as unknown as DatabaseBackend
  const ending = (id: string): Ending => ({ id, claim: 1, status: 'FAILED', errors: [] })
  const estate = { died: false, started: null }
  await settleEstates(host, backend, [{ worker: 'a', endings: [ending('unreadable'), ending('readable')], ...estate }, { worker: 'b', endings: [ending('other')], ...estate }])
  t.same(settled, ['a', 'b'])
  t.same(told, ['readable', 'other'])
  t.match(lines.filter(({ level }) => level === 'error'), [{ fields: { id: 'unreadable', err: { message: 'no such key' } } }])
})
