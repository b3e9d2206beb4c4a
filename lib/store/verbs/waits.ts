import type { Session } from '../session.js'

/** Tell those who wait for one of these results, in whichever process. */
export async function notifyEnded (session: Session, ids: readonly string[]): Promise<void> {
  const { dialect, tables, sight } = session
  if (dialect.name !== 'postgres') return
  // A hint: the waiters poll as well.
  await session.write('notify waiters', `SELECT pg_notify(?, 'ended:' || w.id::text) FROM ${tables.waits} w WHERE ${dialect.isIn('w.id', 'uuid', sight)}`, [session.channel, dialect.list(ids)], { plan: 'once' }).catch(() => {})
}
