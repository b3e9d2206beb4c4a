import t from 'tap'
import { databases } from '../support/databases.ts'
import { openSite, subscribers } from './support/site.ts'

const [database] = databases

t.test('what people write is escaped', async (t) => {
  const site = await openSite(t, database!, subscribers(1))
  const hostile = '<script>alert("1")</script>\'&'
  await site.post('/pages', { title: hostile, body: hostile })
  await site.post('/notes', { text: hostile })
  const { body } = await site.app.inject('/')
  t.notMatch(body, '<script>alert')
  t.match(body, '&#60;script&#62;alert(&#34;1&#34;)&#60;/script&#62;&#39;&#38;')
})

t.test('every answer carries a policy that allows nothing inline', async (t) => {
  const site = await openSite(t, database!, [])
  for (const path of ['/', '/live', '/work', '/site.js', '/nowhere']) {
    const { headers } = await site.app.inject(path)
    t.match(headers['content-security-policy'], "default-src 'none'", path)
    t.notMatch(headers['content-security-policy'], 'unsafe', path)
  }
  const { body } = await site.app.inject('/')
  t.notMatch(body, / style=| onclick=|<script>|<style/)
})

t.test('a form of another site presses no button', async (t) => {
  const site = await openSite(t, database!, subscribers(1))
  const headers = { origin: 'https://elsewhere.example', 'content-type': 'application/x-www-form-urlencoded' }
  const { statusCode } = await site.app.inject({ method: 'POST', url: '/pages/1/publish', headers, payload: '' })
  t.equal(statusCode, 403)
  t.equal((await site.app.knex('pages').where({ id: 1 }).first()).published_at, null)
})

t.test('without a script, a form leads back to the page', async (t) => {
  const site = await openSite(t, database!, subscribers(1))
  const headers = { accept: 'text/html', 'content-type': 'application/x-www-form-urlencoded' }
  const done = await site.app.inject({ method: 'POST', url: '/orders', headers, payload: 'customer=1&amount=25' })
  t.equal(done.statusCode, 303)
  t.equal(done.headers.location, '/')
  const refused = await site.app.inject({ method: 'POST', url: '/orders', headers, payload: 'customer=99&amount=25' })
  t.equal(refused.statusCode, 404)
  t.match(refused.headers['content-type'], 'text/html')
  t.match(refused.body, 'There is no customer 99.')
})

t.test('the page says when no worker is running', async (t) => {
  const site = await openSite(t, database!, [])
  t.match((await site.app.inject('/')).body, 'No worker is running')
})

t.test('work that has ended cannot be cancelled, and work that has not cannot be put back', async (t) => {
  const site = await openSite(t, database!, [])
  const work = await site.app.tasks.enqueue('notes.copy', 1)
  t.equal((await site.post(`/work/${work.id}/retry`)).code, 409)
  t.equal((await site.post(`/work/${work.id}/cancel`)).code, 200)
  t.equal((await site.post(`/work/${work.id}/cancel`)).code, 409)
  t.equal((await site.post(`/work/${work.id}/retry`)).code, 202)
  t.equal((await site.post('/work/unknown/retry')).code, 404)
})
