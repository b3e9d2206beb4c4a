import type { Run, Session } from '../session.js'

/**
 * Where one writes at a time: take the turn, as the first statement of a transaction that reads before it writes. What
 * it reads then stays true, and it cannot be refused for having read too early (SQLITE_BUSY_SNAPSHOT).
 */
export async function takeTurn ({ dialect, tables }: Session, run: Run): Promise<void> {
  if (dialect.singleWriter) await run(dialect.beginWrite(tables.meta))
}
