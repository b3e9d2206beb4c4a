import type { Run, Session } from '../session.js'
import type { RateLog } from '../../core/rate.js'

/** Store what rates remember, by the names of the limits, as of a moment. */
export async function writeRates ({ dialect, tables }: Session, run: Run, backend: string, logs: ReadonlyMap<string, RateLog>, at: number): Promise<void> {
  const source = dialect.rows([['name', 'text'], ['starts', 'text'], ['until', 'bigint']])
  const lastOf = (log: RateLog): number => Math.max(at, log.starts.at(-1)?.[0] ?? at)
  const rows = [...logs].map(([name, log]) => [name, JSON.stringify(log), lastOf(log) + Math.ceil(log.span)])
  await run(`
    INSERT INTO ${tables.limits} (backend, name, starts, until) SELECT ?, i.name, i.starts, i.until FROM ${source.sql} AS i WHERE true
    ON CONFLICT (backend, name) DO UPDATE SET starts = excluded.starts, until = excluded.until`, [backend, ...source.bind(rows)])
}
