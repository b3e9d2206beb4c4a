import { Database } from './database.js'
import { Timeline } from './timeline.js'

const BATCH = 1_000 // rows that a busy worker claims at once, as lib/core/limits.ts has it
const ENQUEUED = 1_000 // rows of a bulk enqueue

/**
 * Tasks a second that flow from enqueue to ending in the steady state. Each worker runs tasks on one core, claims the
 * next batch when half of the last one is left, and writes endings by group commit; producers keep the queue as full as
 * the server lets them. Inside of a server statements share its cores; a commit waits for the disk with those that came
 * meanwhile.
 */
export function simulate ({ cores, workers, databases, claim, finish, insert, js, statement, rttMs, fsyncMs, seconds }) {
  const timeline = new Timeline()
  const servers = Array.from({ length: databases }, () => new Database(timeline, { cores, statement, rtt: rttMs * 1_000, fsync: fsyncMs * 1_000 }))
  const waiting = servers.map(() => 0)
  let ended = 0
  for (const [index, server] of servers.entries()) {
    // As many producers as workers: each stores a batch whenever fewer than twenty wait.
    const produce = () => {
      if (waiting[index] > 20 * BATCH) { timeline.after(1_000, produce); return }
      server.run(insert * ENQUEUED, () => {
        waiting[index] += ENQUEUED
        produce()
      })
    }
    for (let n = 0; n < Math.max(1, Math.ceil(workers / databases)); n++) produce()
  }
  for (let n = 0; n < workers; n++) {
    const index = n % databases
    work(timeline, servers[index], { claim, finish, js }, (most) => {
      const taken = Math.min(most, waiting[index])
      waiting[index] -= taken
      return taken
    }, (count) => { ended += count })
  }
  const warm = 1e6
  timeline.until(warm)
  const before = ended
  timeline.until(warm + seconds * 1e6)
  return (ended - before) / seconds
}

function work (timeline, server, { claim, finish, js }, take, end) {
  let buffered = 0
  let claiming = false
  let running = false
  let unwritten = 0
  let writing = false

  const look = () => {
    if (claiming || buffered > BATCH / 2) return
    claiming = true
    const rows = take(BATCH - buffered)
    server.run(Math.max(1, rows) * claim, () => {
      claiming = false
      buffered += rows
      if (rows === 0) timeline.after(1_000, look)
      run()
    })
  }
  // In steps, so that claims and endings go on meanwhile.
  const run = () => {
    if (running || buffered === 0) { look(); return }
    running = true
    const rows = Math.min(50, buffered)
    timeline.after(rows * js, () => {
      running = false
      buffered -= rows
      unwritten += rows
      write()
      look()
      run()
    })
  }
  const write = () => {
    if (writing || unwritten === 0) return
    writing = true
    const rows = unwritten
    unwritten = 0
    server.run(rows * finish, () => {
      writing = false
      end(rows)
      write()
    })
  }
  look()
}

/** @param {Array<[cores: number, rates: number[]]>} rows */
export function markdownTable (workers, rows) {
  return [
    `| cores of the server | ${workers.map((count) => count === 1 ? '1 worker' : `${count} workers`).join(' | ')} |`,
    `| ---: |${' ---: |'.repeat(workers.length)}`,
    ...rows.map(([cores, rates]) => `| ${cores} | ${rates.map((rate) => (Math.round(rate / 1_000) * 1_000).toLocaleString('en')).join(' | ')} |`)
  ].join('\n') + '\n'
}
