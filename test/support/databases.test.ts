import t from 'tap'
import { databases } from './databases.ts'

for (const { name, open } of databases) {
  t.test(`a ${name} database for a test is fresh and goes away`, async (t) => {
    const one = await open()
    const two = await open()
    t.not(one.url, two.url)
    t.match(one.url, name === 'sqlite' ? /^sqlite:/ : /^postgres:/)
    await one.close()
    await two.close()
  })
}
