import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from './source.ts'

export const readme = await readFile(join(root, 'README.md'), 'utf8')

/** A table of the README: what each row says under each heading, without the markup. */
export interface Table {
  readonly headings: readonly string[]
  readonly rows: ReadonlyArray<readonly string[]>
}

/** The first table whose first heading is this one. */
export function table (heading: string): Table {
  const found = tables().find(({ headings }) => headings[0] === heading)
  if (found === undefined) throw new Error(`The README has no table that begins with the column '${heading}'`)
  return found
}

/** Names in code style within a cell: `` `a`, `b` `` gives a and b. */
export function codes (cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => (code as string).replaceAll('\\|', '|'))
}

export function tables (): Table[] {
  const found: Table[] = []
  let rows: string[][] = []
  for (const line of [...readme.split('\n'), '']) {
    if (line.startsWith('|')) rows.push(line.slice(1, line.lastIndexOf('|')).split(/(?<!\\)\|/).map((cell) => cell.trim()))
    else if (rows.length > 0) {
      const [headings, , ...body] = rows as [string[], string[], ...string[][]]
      found.push({ headings, rows: body })
      rows = []
    }
  }
  return found
}
