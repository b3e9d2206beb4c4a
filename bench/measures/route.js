import { start } from '../processes/call.js'
import { load } from './load.js'

const LAG_MAX = 2 // times the duration: what is not stored by then does not count

/**
 * A Fastify route that enqueues one task a request, beside a plain route of a server without the library: share of its
 * requests a second, and its 99th percentile. Stored before the reply, or after it; then the time until all is stored
 * counts as well.
 */
export const route = {
  name: 'route',
  title: () => 'Fastify route that enqueues one task a request, 16 connections',
  figures: {
    plain: { title: 'plain route, requests a second', better: 'more' },
    before: { title: 'stored before the reply: share of plain', better: 'more' },
    after: { title: 'stored after the reply: share of plain', better: 'more' },
    plainP99: { title: 'p99 plain, ms', better: 'less' },
    beforeP99: { title: 'p99 before, ms', better: 'less' },
    afterP99: { title: 'p99 after, ms', better: 'less' }
  },
  takes: () => true,
  async run (stage, contestant, { durationMs }) {
    const server = await stage.server()
    const plainServer = await start('processes/server.js')
    try {
      const [url, plainUrl] = [await server.call('url'), await plainServer.call('url')]
      for (const warm of [`${plainUrl}/plain`, `${url}/before`]) await load(warm, durationMs / 5)
      await stage.settle()
      const plain = await load(`${plainUrl}/plain`, durationMs)
      const before = await load(`${url}/before`, durationMs)
      const already = await server.call('stored')
      const after = await load(`${url}/after`, durationMs)
      const lag = await server.call('settle', durationMs * LAG_MAX)
      const storedAfter = await server.call('stored') - already
      const afterRate = Math.min(after.rate, storedAfter / (after.ms + lag) * 1_000)
      return {
        plain: plain.rate,
        before: before.rate / plain.rate,
        after: afterRate / plain.rate,
        plainP99: plain.p99,
        beforeP99: before.p99,
        afterP99: after.p99
      }
    } finally {
      await plainServer.end()
    }
  }
}
