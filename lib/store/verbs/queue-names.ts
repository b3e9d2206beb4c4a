import type { Session } from '../session.js'

/** The queues that hold READY rows, whatever these wait for: index skip scans. */
export async function queueNames (session: Session, backend: string): Promise<string[]> {
  const free = await distinct(session, 'queue', 'r.claimable AND NOT r.quarantined', [backend])
  const parked = await Promise.all((await parkedNames(session, backend)).map(async (why) => await distinct(session, 'queue', 'r.parked = ?', [backend, why])))
  return [...new Set([...free, ...parked.flat()])]
}

/** What READY rows wait for that are in no lane: a limit, or a worker that knows their name. */
export async function parkedNames (session: Session, backend: string): Promise<string[]> {
  return await distinct(session, 'parked', 'r.parked IS NOT NULL', [backend])
}

async function distinct (session: Session, column: 'queue' | 'parked', condition: string, bindings: readonly unknown[]): Promise<string[]> {
  const scope = `FROM ${session.tables.results} r WHERE r.backend = ? AND ${condition}`
  const records = await session.read('read the queues', `
    WITH RECURSIVE found (name) AS (
      SELECT (SELECT min(r.${column}) ${scope})
      UNION ALL
      SELECT (SELECT min(r.${column}) ${scope} AND r.${column} > found.name) FROM found WHERE found.name IS NOT NULL
    )
    SELECT name FROM found WHERE name IS NOT NULL`, [...bindings, ...bindings])
  return records.map(({ name }) => name as string)
}
