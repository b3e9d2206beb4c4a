import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { chromium, type BrowserContextOptions, type Page } from 'playwright-core'
import t from 'tap'
import { databases } from '../support/databases.ts'
import { openSite, subscribers, type Site } from '../example/support/site.ts'

/** The browser of the machine; TASKS_TEST_BROWSER names another. Nothing is downloaded. */
const executablePath = process.env['TASKS_TEST_BROWSER'] ?? '/usr/bin/chromium'
const screenshots = process.env['TASKS_TEST_SCREENSHOTS'] // a folder to keep pictures in

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

if (!existsSync(executablePath)) {
  throw new Error(`There is no browser at ${executablePath}. Install Chromium, or say where it is with TASKS_TEST_BROWSER.`)
}

const browser = await chromium.launch({ executablePath, args: FLAGS }) // with an empty profile, gone afterwards
t.teardown(async () => { await browser.close() })

for (const database of databases) {
  t.test(database.name, { timeout: 90_000 }, async (t) => {
    t.test('a person publishes a page, sees the mails go out, hears of the failure and mends it', async (t) => {
      const { site, page } = await visit(t, database, subscribers(30, 'full.example.com'))
      await page.getByText('No worker is running').waitFor()
      await picture(page, `${database.name}-1-no-worker`)

      await page.getByRole('button', { name: 'Publish How we print' }).click()
      await page.getByText('Published. 30 mails are on their way.').waitFor()
      const item = page.locator('#page-2')
      await item.getByText('30 waiting').waitFor()
      site.startWorker()
      await item.getByText('29 sent').waitFor()
      await item.getByText('The mail server refused reader0@full.example.com: 552 5.2.2 The mailbox is full').waitFor()
      t.equal(await item.getByRole('img').getAttribute('aria-label'), 'Mails: 29 sent, 1 failed')
      await picture(page, `${database.name}-2-failed`)

      await item.getByRole('button', { name: /^Retry/ }).click()
      await item.getByText('30 sent').waitFor()
      t.equal(await item.locator('.failures').count(), 0)
      t.equal(site.mailServer.delivered, 30)
      await page.getByText('No worker is running').waitFor({ state: 'detached' })
    })

    t.test('a person orders, and sees the score follow', async (t) => {
      const { site, page } = await visit(t, database, [])
      site.startWorker()
      await page.getByRole('button', { name: 'Order for 25 by Café Orion' }).click()
      await page.locator('#customer-2').getByText('Score 2', { exact: true }).waitFor()
      await page.locator('#customer-2').getByText('SUCCESSFUL').waitFor()
      t.pass()
    })

    t.test('a person copies a note and deletes it meanwhile', async (t) => {
      const { site, page } = await visit(t, database, [])
      site.startWorker()
      await page.getByRole('button', { name: /^Copy 10 times Call/ }).click()
      const note = page.locator('#note-2')
      await note.getByText('1 copy', { exact: true }).waitFor()
      t.equal(await note.getByText('LATER').count(), 9)
      await picture(page, `${database.name}-3-copying`)
      await page.getByRole('button', { name: /^Delete Call/ }).click()
      await page.getByText('Deleted. 9 waiting copies were cancelled.').waitFor()
      await note.waitFor({ state: 'detached' })
      await page.locator('#recent').getByText('CANCELLED').first().waitFor()
    })

    t.test('what a person writes is kept while the page changes, and is text when it is shown', async (t) => {
      const { site, page } = await visit(t, database, subscribers(2))
      await page.getByLabel('Title').fill('<img src=x onerror=alert(1)>')
      await site.post('/pages/1/publish')
      await page.locator('#page-1').getByText('2 waiting').waitFor()
      t.equal(await page.getByLabel('Title').inputValue(), '<img src=x onerror=alert(1)>')
      await page.locator('textarea').fill('Text')
      await page.getByRole('button', { name: 'Save page' }).click()
      await page.getByRole('heading', { name: '<img src=x onerror=alert(1)>' }).waitFor()
      t.equal(await page.locator('#live img').count(), 0)
    })

    t.test('without scripts the page works by forms alone', async (t) => {
      const { site, page } = await visit(t, database, subscribers(2), { javaScriptEnabled: false })
      await page.getByRole('button', { name: 'Publish How we print' }).click()
      await page.locator('#page-2').getByText('2 waiting').waitFor()
      t.equal(new URL(page.url()).pathname, '/')
      site.startWorker()
      await page.locator('#page-2').getByText('2 sent').waitFor() // it reloads by itself
      await page.getByRole('button', { name: 'Publish The tide tables' }).click()
      await page.locator('#page-1').getByText('of 2').waitFor()
    })

    t.test('the keyboard keeps its place while the page changes', async (t) => {
      const { site, page } = await visit(t, database, subscribers(2))
      await page.locator('#order-2').focus()
      await site.post('/pages/1/publish')
      await page.locator('#page-1').getByText('2 waiting').waitFor()
      t.equal(await page.evaluate(() => document.activeElement?.id), 'order-2')
    })

    t.test('a narrow window shows all of it without scrolling sideways', async (t) => {
      const { site, page } = await visit(t, database, subscribers(12, 'full.example.com'))
      await page.setViewportSize({ width: 360, height: 740 })
      await site.post('/pages/1/publish')
      site.startWorker()
      await page.locator('#page-1').getByText('11 sent').waitFor()
      const [needed, there] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth] as const)
      t.ok(needed <= there, `${needed} of ${there} px`)
      await picture(page, `${database.name}-4-narrow`)
      await page.emulateMedia({ colorScheme: 'dark' })
      await picture(page, `${database.name}-5-dark`)
    })
  })
}

/** Open the site in the browser; the test fails where the page logs an error, a blocked script say. */
async function visit (t: { after: (fn: () => unknown) => void }, database: typeof databases[number], emails: readonly string[], options: BrowserContextOptions = {}): Promise<{ site: Site, page: Page }> {
  const site = await openSite(t, database, emails)
  const url = await site.app.listen({ host: '127.0.0.1', port: 0 })
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()) })
  page.on('pageerror', (error) => { complaints.push(error.message) })
  t.after(async () => {
    await context.close()
    assert.deepEqual(complaints, [])
  })
  await page.goto(url)
  return { site, page }
}

async function picture (page: Page, name: string): Promise<void> {
  if (screenshots !== undefined) await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true })
}
