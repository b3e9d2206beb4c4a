import type { Session } from '../session.js'

/** The queues that hold READY rows, paused ones too: an index skip scan. */
export async function queueNames (session: Session, backend: string): Promise<string[]> {
  const scope = `FROM ${session.tables.results} r WHERE r.backend = ? AND r.claimable AND NOT r.quarantined`
  const records = await session.read('read the queues', `
    WITH RECURSIVE lane AS (
      SELECT (SELECT min(r.queue) ${scope}) AS queue
      UNION ALL
      SELECT (SELECT min(r.queue) ${scope} AND r.queue > lane.queue) FROM lane WHERE lane.queue IS NOT NULL
    )
    SELECT queue FROM lane WHERE queue IS NOT NULL`, [backend, backend])
  return records.map(({ queue }) => queue as string)
}
