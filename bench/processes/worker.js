import { adapterOf } from '../adapters/adapters.js'
import { answer, spec, tell } from './answer.js'
import { now, pause } from './clock.js'

// The process that runs the tasks. They do nothing but count, or wait first.

const TOLD_EVERY = 1_000 // tasks between two messages to whoever paces the producer
const SAMPLED_MS = 50

answer(async () => {
  const adapter = await adapterOf(spec.adapter)
  const samples = [] // [tasks so far, resident bytes]
  const marks = [] // moments at which every so many tasks were done
  const latencies = []
  let count = 0
  let firstAt = null
  let firstCpuMs = 0
  let target = Infinity
  let reached = () => {}
  let close = async () => {}

  function run ({ at, ms = 0 }) {
    if (ms === 0) return ran(at)
    return pause(ms).then(() => { ran(at) })
  }

  function ran (at) {
    count += 1
    if (firstAt === null) {
      firstAt = now()
      firstCpuMs = cpuMs()
    }
    if (at > 0) latencies.push(now() - at)
    if (spec.every > 0 && count % spec.every === 0) marks.push(now())
    if (spec.tells && count % TOLD_EVERY === 0) tell('done', count)
    if (count >= target) reached()
  }

  return {
    /** Begin to work; answers the moment before. */
    async start () {
      const began = now()
      if (spec.sampled) setInterval(() => { samples.push([count, process.memoryUsage.rss()]) }, SAMPLED_MS).unref()
      close = await adapter.openWorker(spec.url, spec.settings, run)
      return began
    },

    /** Until so many tasks have run, or so many milliseconds are over. `cpuMs`: taken since the first task began. */
    async until (total, limit) {
      await new Promise((resolve) => {
        target = total
        const timer = setTimeout(resolve, limit)
        reached = () => { clearTimeout(timer); resolve() }
        if (count >= target) reached()
      })
      return { count, firstAt, lastAt: now(), marks, latencies, samples, cpuMs: cpuMs() - firstCpuMs }
    },

    /** Share of one core that this process takes while it waits. */
    async idle (milliseconds) {
      const before = process.cpuUsage()
      const began = now()
      await pause(milliseconds)
      return cpuMs(before) / (now() - began)
    },

    close: async () => await close()
  }
})

/** Milliseconds of CPU, those of threads included, that this process has taken: at all, or since then. */
function cpuMs (since) {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1_000
}
