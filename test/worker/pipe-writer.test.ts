import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { PIPE_FD, type PipeMessage } from '#lib/worker/messages.js'

t.jobs = 2

/** Its output, and its pipe, are read by whoever called. */
function start (t: Test, waitMs: number): { process: ChildProcess, output: Readable, pipe: Readable } {
  const child = fork(fileURLToPath(new URL('fixtures/pipe-writer.js', import.meta.url)), [String(waitMs)], { execArgv: [], stdio: ['ignore', 'pipe', 'inherit', 'ipc', 'pipe'] })
  t.teardown(() => { child.kill('SIGKILL') })
  return { process: child, output: child.stdout as Readable, pipe: child.stdio[PIPE_FD] as Readable }
}

function read (lines: readonly string[]): PipeMessage[] {
  return lines.flatMap((line) => {
    try {
      return [JSON.parse(line) as PipeMessage]
    } catch {
      return []
    }
  })
}

t.test('a word that is larger than the pipe arrives as a whole, behind whatever was in it, though its writer is killed then', { buffered: true }, async (t) => {
  const { process, output, pipe } = start(t, 60_000)
  const lines = createInterface({ input: output })[Symbol.asyncIterator]()
  t.match(await lines.next(), { value: 'full' }) // and waits now
  const received = await text(pipe)
  const messages = read(received.split('\n'))
  t.ok(messages.length > 10)
  t.match(messages.at(-1), { type: 'blocked', worker: 'w', endings: { length: 1_000 } })
  t.match((messages.at(-1) as Extract<PipeMessage, { type: 'blocked' }>).endings.at(-1), { id: 'id 999' })
  t.equal(process.signalCode ?? (await once(process, 'exit'))[1], 'SIGKILL')
})

t.test('where nobody reads, a word that may wait is given up, and others wait for nothing', { buffered: true }, async (t) => {
  const { process, output, pipe } = start(t, 200)
  pipe.pause()
  t.equal(await text(output), 'full\nsent, or given up\n')
  t.equal(process.signalCode ?? (await once(process, 'exit'))[1], 'SIGKILL')
})
