import t from 'tap'
import { validate, version } from 'uuid'
import { newId } from '#lib/core/ids.js'

t.test('ids are distinct UUIDs of version 7, in the order in which they were made', async (t) => {
  const ids = Array.from({ length: 20_000 }, () => newId())
  t.equal(new Set(ids).size, ids.length)
  t.ok(ids.every((id) => validate(id) && version(id) === 7))
  t.same([...ids].sort(), ids)
})

t.test('a clock that is set back changes nothing of their order', async (t) => {
  const now = Date.now
  t.teardown(() => { Date.now = now })
  const before = newId()
  Date.now = () => now() - 3_600_000
  t.ok(newId() > before)
})
