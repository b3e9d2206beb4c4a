import autocannon from 'autocannon'

const CONNECTIONS = 16

/** Requests from 16 connections for so long; answers how many a second, and the 99th percentile in milliseconds. */
export async function load (url, durationMs) {
  const began = performance.now()
  const { requests, latency, errors, non2xx } = await autocannon({ url, connections: CONNECTIONS, duration: durationMs / 1_000, sampleInt: Math.min(1_000, durationMs) })
  if (errors > 0 || non2xx > 0) throw new Error(`${url}: ${errors} requests failed, ${non2xx} were not answered with a 2xx`)
  const ms = performance.now() - began
  return { ms, rate: requests.total / ms * 1_000, p99: latency.p99 }
}
