import t, { type Test } from 'tap'
import { WriterQueue } from '#lib/store/writer-queue.js'

const PATIENCE_MS = 10_000
const [ours, others] = [{}, {}]

t.test('a transaction has its turn alone, and those behind it come in the order in which they asked', async (t) => {
  const { queue, order, ask } = setting(t)
  const leave = await queue.enter(PATIENCE_MS)
  ask('statement', ours)
  ask('transaction')
  ask('last', ours)
  await settled()
  t.same(order, [])
  leave()
  await settled()
  t.same(order, ['statement'])
  ask.leave('statement')
  await settled()
  t.same(order, ['statement', 'transaction'])
  ask.leave('transaction')
  await settled()
  t.same(order, ['statement', 'transaction', 'last'])
})

t.test('two calls of one owner have their turn beside each other, and a third waits for one of them', async (t) => {
  const { order, ask } = setting(t)
  for (const name of ['first', 'second', 'third']) ask(name, ours)
  await settled()
  t.same(order, ['first', 'second'])
  ask.leave('second')
  await settled()
  t.same(order, ['first', 'second', 'third'])
})

t.test('a call of another owner waits: it has another connection', async (t) => {
  const { order, ask } = setting(t)
  ask('ours', ours)
  ask('theirs', others)
  await settled()
  t.same(order, ['ours'])
  ask.leave('ours')
  await settled()
  t.same(order, ['ours', 'theirs'])
})

t.test("of all queues of a process one has a second call inside: the others keep to one of libuv's threads each", async (t) => {
  const [first, second] = [setting(t), setting(t)]
  for (const name of ['one', 'two']) first.ask(name, ours)
  for (const name of ['one', 'two']) second.ask(name, others)
  await settled()
  t.same([first.order, second.order], [['one', 'two'], ['one']])
  first.ask.leave('two')
  second.ask.leave('one')
  await settled()
  t.same(second.order, ['one', 'two'])
  second.ask('three', others)
  await settled()
  t.same(second.order, ['one', 'two', 'three'])
})

t.test('a transaction waits for both of two calls, and none that came later passes it', async (t) => {
  const { order, ask } = setting(t)
  ask('first', ours)
  ask('second', ours)
  ask('transaction')
  ask('third', ours)
  await settled()
  ask.leave('first')
  await settled()
  t.same(order, ['first', 'second'])
  ask.leave('second')
  await settled()
  t.same(order, ['first', 'second', 'transaction'])
})

t.test('a turn is given up once, however often that is said', async (t) => {
  const { queue, order, ask } = setting(t)
  const leave = await queue.enter(PATIENCE_MS)
  leave()
  leave()
  ask('first')
  ask('second')
  await settled()
  t.same(order, ['first'])
})

t.test('whoever waits for one and the same writer longer than it may take is refused, and those behind it are not', async (t) => {
  const { queue, order, ask } = setting(t)
  const leave = await queue.enter(PATIENCE_MS, ours)
  const transaction = queue.enter(20) // which the second statement would wait for, though it has room beside the first
  ask('second', ours)
  await t.rejects(transaction, { code: 'NO_ANSWER' })
  await settled()
  t.same(order, ['second'])
  leave()
  ask.leave('second')
  ask('later')
  await settled()
  t.same(order, ['second', 'later'])
})

interface Ask {
  (name: string, owner?: object): void
  leave (name: string): void
}

/** `ask` notes the name in `order` when its turn comes. Whoever still waits at the end has it then. */
function setting (t: Test): { queue: WriterQueue, order: string[], ask: Ask } {
  const queue = new WriterQueue()
  const order: string[] = []
  const leaves = new Map<string, () => void>()
  let over = false
  const ask = (name: string, owner: object | null = null): void => {
    void queue.enter(PATIENCE_MS, owner).then((leave) => {
      order.push(name)
      leaves.set(name, leave)
      if (over) leave()
    })
  }
  t.teardown(() => {
    over = true
    for (const leave of leaves.values()) leave()
  })
  return { queue, order, ask: Object.assign(ask, { leave: (name: string) => { leaves.get(name)?.() } }) }
}

/** All that follows from what has happened has happened: there is no timer in it. */
async function settled (): Promise<void> {
  await new Promise((resolve) => { setImmediate(resolve) })
}
