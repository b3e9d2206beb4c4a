import ms from 'ms'

/** Rows as text under their headings, columns as wide as their widest cell. Nothing but the headings where there is no row. */
export function table (headings: readonly string[], rows: ReadonlyArray<readonly unknown[]>): string {
  const lines = [headings, ...rows].map((row) => row.map(cell))
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)))
  const right = headings.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'))
  const align = (text: string, column: number): string => right[column] === true ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0)
  return lines.map((line) => `${line.map(align).join('  ').trimEnd()}\n`).join('')
}

/** Names and values, one a line. */
export function fields (pairs: ReadonlyArray<readonly [string, unknown]>): string {
  const width = Math.max(...pairs.map(([name]) => name.length)) + 2
  return pairs.map(([name, value]) => `${name.padEnd(width)}${cell(value)}\n`).join('')
}

export function json (value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/** Epoch ms as ISO 8601 in UTC; null stays null. */
export function moment (value: number | null): string | null {
  return value === null ? null : new Date(value).toISOString()
}

/** Milliseconds, rounded to one unit: `12s`. */
export function age (value: number | null): string | null {
  return value === null ? null : ms(Math.max(0, value))
}

export function plural (count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`
}

/** What is stored may hold escape sequences, which a terminal would obey. */
export function printable (text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, (char) => `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`)
}

function cell (value: unknown): string {
  return value === null || value === undefined || value === '' ? '-' : printable(String(value))
}
