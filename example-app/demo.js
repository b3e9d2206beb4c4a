// @ts-check
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { MailServer } from './demo/mail-server.js'
import { Processes } from './demo/processes.js'
import { Site } from './demo/site.js'

const HELP = `Usage: npm run demo -- [options]

Starts a mail server, the site and its workers as processes of their own, publishes a page, and shows how the mail to
1,000 subscribers is delivered in the background. On SQLite, or on PostgreSQL where TASKS_DATABASE_URL says so.

  --keep          stay up afterwards, so that you can look at the page (as in a terminal)
  --no-keep       do not
  --workers <n>   worker processes (default: 1 on SQLite, 2 on PostgreSQL)
  --port <n>      of the site (default: any that is free)
  --timeout <s>   give up after so many seconds (default: 120)
  --help`

const LOOK_MS = 250 // between two looks at the site
const started = Date.now()

const options = readOptions()
if (options === null) {
  console.log(HELP)
} else {
  process.exitCode = await run(options)
}

/** @param {NonNullable<ReturnType<typeof readOptions>>} options */
async function run ({ keep, workers, port, timeout }) {
  const folder = await mkdtemp(join(tmpdir(), 'small-press-'))
  const mailServer = new MailServer()
  const smtpUrl = await mailServer.listen()
  const processes = new Processes(folder, {
    ...process.env,
    TASKS_DATABASE_URL: process.env['TASKS_DATABASE_URL'] ?? `sqlite:${join(folder, 'site.sqlite3')}`,
    // So that you see soon what becomes of the tasks of a worker that you kill; the default is 30 s.
    TASKS_WORKER_LEASE: process.env['TASKS_WORKER_LEASE'] ?? '10s',
    SITE_SMTP_URL: smtpUrl,
    PORT: String(port)
  })
  const stopped = signalled()
  try {
    const story = tell({ processes, mailServer, smtpUrl, workers })
    const late = sleep(timeout * 1000, null, { ref: false }).then(() => { throw new Error(`The demo did not end within ${timeout} s.`) })
    const site = await Promise.race([story, late, processes.failed, stopped])
    if (keep && site !== null) {
      console.log(`\nLook at it:  ${site.url}\nPublish the next page, press Order, Copy, Delete, Retry. Ctrl+C ends it.`)
      await Promise.race([stopped, processes.failed])
    }
    return 0
  } catch (error) {
    console.error(`\n${error instanceof Error ? error.message : String(error)}\n${await processes.logs()}`)
    return 1
  } finally {
    await processes.stop()
    await mailServer.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * @param {object} parts
 * @param {Processes} parts.processes
 * @param {MailServer} parts.mailServer
 * @param {string} parts.smtpUrl
 * @param {number} parts.workers
 */
async function tell ({ processes, mailServer, smtpUrl, workers }) {
  const database = isPostgres() ? 'PostgreSQL' : 'SQLite'
  console.log(`Small Press on ${database}\n`)
  const site = new Site(await processes.startServer())
  console.log(`  mail server   ${smtpUrl}`)
  console.log(`  site          ${site.url}`)
  for (let number = 1; number <= workers; number++) {
    processes.startWorker(`worker-${number}`, (pid, killedBy) => {
      console.log(killedBy === null ? `  worker ${number}      process ${pid}` : `  worker ${number} was ended by ${killedBy}; started again as process ${pid}`)
    })
  }

  const page = await site.post('/pages', { title: 'News from the harbour', body: 'The ferry runs every hour from Monday on.' })
  const before = performance.now()
  const { mails } = await site.post(`/pages/${page.id}/publish`)
  console.log(`\nPublish: answered in ${Math.round(performance.now() - before)} ms with ${mails} mails enqueued in its transaction`)
  await watch(site, page.id)

  const { failures } = await site.mails(page.id)
  if (failures.length > 0) {
    console.log('\nThe failures, as the page shows them:')
    for (const { error, attempts } of failures) console.log(`  after ${attempts} attempt${attempts === 1 ? '' : 's'}: ${error}`)
    const { retried } = await site.post(`/pages/${page.id}/retry`)
    console.log(`\nRetry: ${retried} mails put back`)
    await watch(site, page.id)
  }
  if (mailServer.delivered !== mails) throw new Error(`${mailServer.delivered} of ${mails} mails arrived.`)
  console.log(`\nThe mail server counted ${mailServer.delivered} of ${mails} mails, ${mailServer.repeated} of them more than once.`)

  await order(site)
  await copyAndDelete(site)
  const { sent, failed } = await site.mails(page.id)
  console.log(`\nAll done in ${seconds()} s: ${sent} mails sent, ${failed} failed, with ${workers} worker process${workers === 1 ? '' : 'es'} on ${database}.`)
  return site
}

/**
 * Print how far the mails are until none is under way.
 *
 * @param {Site} site
 * @param {number} page
 */
async function watch (site, page) {
  let last = ''
  for (;;) {
    const { sent, waiting, running, failed } = await site.mails(page)
    const line = `waiting ${waiting}`.padEnd(14) + `running ${running}`.padEnd(13) + `sent ${sent}`.padEnd(12) + `failed ${failed}`
    if (line !== last) console.log(`  ${seconds().padStart(5)} s   ${line}`)
    if (waiting + running === 0) return
    last = line
    await sleep(LOOK_MS)
  }
}

/** @param {Site} site */
async function order (site) {
  const [customer] = (await site.work()).customers
  const before = performance.now()
  await site.post('/orders', { customer: customer.id, amount: 25 })
  const took = Math.round(performance.now() - before)
  const { score } = await until(site, ({ customers }) => {
    return customers.find((/** @type {any} */ { id, work }) => id === customer.id && work?.status === 'SUCCESSFUL' && work.id !== customer.work?.id)
  })
  console.log(`\nOrder: answered in ${took} ms; then the score of ${customer.name} went from ${customer.score} to ${score}`)
}

/** @param {Site} site */
async function copyAndDelete (site) {
  const note = await site.post('/notes', { text: 'Buy ink' })
  const { copies } = await site.post(`/notes/${note.id}/copy`)
  const made = await until(site, ({ notes }) => notes.find((/** @type {any} */ one) => one.id === note.id && one.copies >= 2)?.copies)
  const { cancelled } = await site.post(`/notes/${note.id}/delete`)
  console.log(`Note: ${copies} copies wanted, ${made} made when the note was deleted, ${cancelled} that waited were cancelled`)
}

/**
 * @template T
 * @param {Site} site
 * @param {(work: any) => T | undefined} find
 * @returns {Promise<T>}
 */
async function until (site, find) {
  for (;;) {
    const found = find(await site.work())
    if (found !== undefined) return found
    await sleep(LOOK_MS)
  }
}

function seconds () {
  return ((Date.now() - started) / 1000).toFixed(1)
}

function isPostgres () {
  return process.env['TASKS_DATABASE_URL']?.startsWith('postgres') ?? false
}

/** Resolves with null when somebody wants the demo to end. @returns {Promise<null>} */
async function signalled () {
  return await new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => { resolve(null) })
  })
}

function readOptions () {
  const { values } = parseArgs({
    allowNegative: true,
    options: {
      keep: { type: 'boolean', default: process.stdout.isTTY && process.env['CI'] === undefined },
      workers: { type: 'string', default: isPostgres() ? '2' : '1' },
      port: { type: 'string', default: process.env['PORT'] ?? '0' },
      timeout: { type: 'string', default: '120' },
      help: { type: 'boolean', default: false }
    }
  })
  const { keep, help } = values
  const [workers, port, timeout] = [values.workers, values.port, values.timeout].map(Number)
  if (help || !isCount(workers) || !isCount(timeout) || !Number.isInteger(port)) return null
  return { keep, workers, port: Number(port), timeout }
}

/**
 * @param {number | undefined} value
 * @returns {value is number}
 */
function isCount (value) {
  return Number.isInteger(value) && Number(value) > 0
}
