/// <reference path="../../../example-app/types.d.ts" />
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { createWorker } from 'fastify-tasks/worker'
import { buildApp } from '../../../example-app/app.js'
import { MailServer } from '../../../example-app/demo/mail-server.js'
import type { TestDatabases } from '../../support/databases.ts'
import { eventually } from '../../support/eventually.ts'

export interface Site {
  readonly app: FastifyInstance
  readonly mailServer: MailServer
  /** Press a button. */
  post (path: string, body?: object): Promise<{ code: number, body: any }>
  /** What the page shows. */
  work (): Promise<any>
  /** Work until the test ends. */
  startWorker (): void
}

interface Test { after (fn: () => unknown): void }

/** The site on a database of its own, with the given subscribers and a mail server. */
export async function openSite (t: Test, database: TestDatabases, emails: readonly string[]): Promise<Site> {
  const { url, close } = await database.open()
  const mailServer = new MailServer()
  const subscribersFile = await writeSubscribers(t, emails)
  const app = buildApp({ databaseUrl: url, smtpUrl: await mailServer.listen(), subscribersFile, copyEvery: 60_000, logLevel: 'silent' })
  t.after(async () => {
    await app.close()
    await mailServer.close()
    await close()
  })
  await app.ready()
  return {
    app,
    mailServer,
    post: async (path, body = {}) => {
      const response = await app.inject({ method: 'POST', url: path, payload: body })
      return { code: response.statusCode, body: response.json() }
    },
    work: async () => (await app.inject('/work')).json(),
    startWorker: () => { void createWorker(app, { interval: '100ms' }).run() } // app.close() stops it
  }
}

/** Addresses of subscribers, one of each given domain in front of the plain ones. */
export function subscribers (count: number, ...domains: string[]): string[] {
  return Array.from({ length: count }, (_, index) => `reader${index}@${domains[index] ?? 'example.com'}`)
}

/** A subscribers file that is gone after the test. */
export async function writeSubscribers (t: Test, emails: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'small-press-test-'))
  t.after(async () => { await rm(folder, { recursive: true, force: true }) })
  const file = join(folder, 'subscribers.csv')
  await writeFile(file, ['name,email', ...emails.map((email, index) => `Reader, ${index},${email}`), ''].join('\n'))
  return file
}

/** Wait until what `read` answers has these fields, then return it. */
export async function until<Fields extends object> (read: () => Promise<any>, fields: Fields, options?: { timeout?: number }): Promise<any> {
  return await eventually(async () => {
    const actual = await read()
    assert.deepStrictEqual(Object.fromEntries(Object.keys(fields).map((name) => [name, actual[name]])), fields)
    return actual
  }, options)
}
