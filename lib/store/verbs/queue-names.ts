import type { Session } from '../session.js'

/** The queues that hold READY rows, paused ones and limited ones too: index skip scans. */
export async function queueNames (session: Session, backend: string): Promise<string[]> {
  const { results } = session.tables
  const names = async (condition: string): Promise<string[]> => {
    const scope = `FROM ${results} r WHERE r.backend = ? AND ${condition}`
    const records = await session.read('read the queues', `
      WITH RECURSIVE lane AS (
        SELECT (SELECT min(r.queue) ${scope}) AS queue
        UNION ALL
        SELECT (SELECT min(r.queue) ${scope} AND r.queue > lane.queue) FROM lane WHERE lane.queue IS NOT NULL
      )
      SELECT queue FROM lane WHERE queue IS NOT NULL`, [backend, backend])
    return records.map(({ queue }) => queue as string)
  }
  return [...new Set([...await names('r.claimable AND NOT r.quarantined'), ...await names("r.parked = 'limit'")])]
}
