import t from 'tap'
import { readFile } from 'node:fs/promises'
import { COMMANDS } from '#lib/cli/commands.js'
import { DATABASE_FLAGS } from '#lib/cli/database.js'
import { WORKER_OPTIONS } from '#lib/worker/options.js'
import { root } from './blocks.ts'

const readme = await readFile(new URL('README.md', `file://${root}`), 'utf8')

/** The cells of every table row of a section, without their backquotes. */
function rowsOf (heading: string): string[][] {
  const from = readme.indexOf(`\n## ${heading}\n`)
  const section = readme.slice(from, readme.indexOf('\n## ', from + 1))
  return section.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| ---')).map((line) => line.slice(1, -1).split(' | ').map((cell) => cell.trim().replaceAll('`', '')))
}

t.test('the README names every worker flag with its variable and its default, and no other', async (t) => {
  const rows = rowsOf('The worker').filter(([flag]) => flag?.startsWith('--'))
  t.strictSame(rows.map(([flag]) => flag?.split(' ')[0]), WORKER_OPTIONS.map(({ flag }) => `--${flag}`))
  for (const [index, option] of WORKER_OPTIONS.entries()) {
    const [flag, variable, fallback] = rows[index] as string[]
    t.equal(variable, option.env, `--${option.flag}`)
    t.ok(fallback?.startsWith(option.default ?? '–'), `${String(flag)} ${String(fallback)}`)
  }
})

t.test('the README names every command with its arguments and its flags', async (t) => {
  const rows = rowsOf('The command line')
  const flags = rows.map(([flag]) => flag).filter((flag) => flag?.startsWith('--'))
  t.strictSame(flags, Object.keys(DATABASE_FLAGS).map((flag) => `--${flag}`))
  const listed = rows.flatMap(([name]) => name?.split(', ') ?? [])
  for (const { name, positionals, flags } of COMMANDS) {
    if (name === 'worker') continue
    const title = [name, ...positionals].join(' ')
    t.ok(listed.includes(title), title)
    const own = Object.keys(flags).filter((flag) => flag !== 'json' && !Object.hasOwn(DATABASE_FLAGS, flag))
    const text = rows.find(([names]) => names?.split(', ').includes(title))?.[1] ?? ''
    for (const flag of own) t.ok(text.includes(`--${flag}`), `${name} --${flag}`)
  }
})

t.test('links within the pages lead somewhere', async (t) => {
  const slug = (heading: string): string => heading.toLowerCase().replace(/[^\w\s-]/g, '').trim().replace(/\s+/g, '-')
  const headings = new Set([...readme.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => slug(heading as string)))
  for (const [, target] of readme.matchAll(/\]\(([^)]+)\)/g)) {
    if (target === undefined || /^https?:/.test(target)) continue
    if (target.startsWith('#')) t.ok(headings.has(target.slice(1)), target)
    else await t.resolves(readFile(new URL(target.replace(/#.*/, ''), `file://${root}`)), target)
  }
})
