import t from 'tap'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startProcess } from './processes.ts'

t.test('a process under test is heard, signalled and waited for', async (t) => {
  const script = join(t.testdir({}), 'script.js')
  await writeFile(script, `
    process.on('SIGTERM', () => { console.error('stopping'); process.exit(3) })
    setInterval(() => {}, 1000)
    console.log('ready ' + process.env.GREETING)
  `)
  const child = startProcess(t, script, { env: { GREETING: 'hello' } })
  t.equal(await child.line(/^ready/), 'ready hello')
  child.signal('SIGTERM')
  t.same(await child.exit(), { code: 3, signal: null })
  t.same(child.stderr, ['stopping'])
})

t.test('a line that never comes ends the wait when the process ends', async (t) => {
  const script = join(t.testdir({}), 'script.js')
  await writeFile(script, "console.log('something else')")
  const child = startProcess(t, script)
  await t.rejects(child.line('ready'), /ended with 0[^]*something else/)
})
