// node together.js FILE…: compiled test files, one after the other in this process, each as a test of its own. A process
// for each would cost more than most of them: a second of the processor, to start node, tap, Fastify and Knex.
import t from 'tap'

for (const file of process.argv.slice(2)) {
  await t.test(file.replace(/^.*\/(test\/.*)\.js$/, '$1.ts'), async (t) => {
    globalThis.testOfThisFile = t // what such a file gets where it imports tap: see scripts/build-tests.js
    await import(file)
  })
}
