// node failing-sync.js FILE CONTROL: enqueue while the disk syncs, while it fails to, and when it does again
import { writeFileSync } from 'node:fs'
import Fastify from 'fastify'
import fastifyTasks, { task } from 'fastify-tasks'

const [file, control] = process.argv.slice(2)
const note = task('note', async (text) => text)
const app = Fastify()
await app.register(fastifyTasks, { tasks: [note], env: false, backends: { default: { backend: 'database', url: `sqlite:${file}` } } })
await app.ready()
const accepted = [(await note.enqueue('before')).id]
const errors = []
writeFileSync(control, '1')
for (let count = 0; count < 3; count++) {
  try {
    accepted.push((await note.enqueue('meanwhile')).id)
  } catch ({ code, message }) {
    errors.push({ code, message })
  }
}
writeFileSync(control, '0')
accepted.push((await note.enqueue('after')).id)
const { results } = await app.tasks.list({ limit: 100 })
console.log(JSON.stringify({ accepted, errors, stored: results.map(({ id, args: [text] }) => ({ id, text })) }))
await app.close()
