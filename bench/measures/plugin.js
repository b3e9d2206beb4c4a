import { start } from '../processes/call.js'
import { median } from '../report/statistics.js'
import { load } from './load.js'

const TURNS = 3

/** A route that enqueues nothing, in a server with the plugin and in one without, in turns. */
export const plugin = {
  name: 'plugin',
  title: () => 'Fastify route that enqueues nothing, with the plugin and without, 16 connections',
  figures: { share: { title: 'share of the requests a second without', better: 'more' }, p99: { title: 'p99 with it / p99 without', better: 'less' } },
  takes: ({ family, heavy }) => family === 'ours' && heavy === true, // with its defaults
  async run (stage, contestant, { durationMs }) {
    const server = await stage.server()
    const plainServer = await start('processes/server.js')
    try {
      const [url, plainUrl] = [`${await server.call('url')}/plain`, `${await plainServer.call('url')}/plain`]
      for (const warm of [plainUrl, url]) await load(warm, durationMs / 2)
      const turns = []
      for (let turn = 0; turn < TURNS; turn++) {
        // Whoever comes second has the warmer machine: they take it in turns.
        const [first, second] = turn % 2 === 0 ? [plainUrl, url] : [url, plainUrl]
        const results = { [first]: await load(first, durationMs / 2), [second]: await load(second, durationMs / 2) }
        turns.push({ share: results[url].rate / results[plainUrl].rate, p99: results[url].p99 / Math.max(1, results[plainUrl].p99) })
      }
      return { share: median(turns.map(({ share }) => share)), p99: median(turns.map(({ p99 }) => p99)) }
    } finally {
      await plainServer.end()
    }
  }
}
