import type { Session } from '../session.js'

/** Settings under which an accepted task could be lost in a power cut, or the tables grow without end. */
export async function settingsProblems (session: Session): Promise<string[]> {
  return session.dialect.name === 'postgres' ? await postgresProblems(session) : await sqliteProblems(session)
}

async function postgresProblems (session: Session): Promise<string[]> {
  const wanted: Record<string, string> = { fsync: 'on', full_page_writes: 'on', autovacuum: 'on' }
  const rows = await session.read('read the settings', "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'autovacuum', 'synchronous_commit')")
  return rows.flatMap(({ name, setting }) => {
    const [key, value] = [String(name), String(setting)]
    if (key === 'synchronous_commit') return value === 'off' ? ['synchronous_commit is off: the tasks of the last moments before a crash of the server can be lost.'] : []
    return value === wanted[key] ? [] : [`${key} is ${value}; set it to ${wanted[key] as string}.`]
  })
}

async function sqliteProblems (session: Session): Promise<string[]> {
  const problems: string[] = []
  const [journal] = await session.read('read the settings', 'PRAGMA journal_mode')
  const mode = String(journal?.['journal_mode'])
  if (mode !== 'wal' && mode !== 'memory') problems.push(`journal_mode is ${mode}: writers will block readers. Set it to WAL.`)
  const { rows: [synchronous] } = await session.write('read the settings', 'PRAGMA synchronous')
  if (Number(synchronous?.['synchronous']) < 2) problems.push('synchronous is below FULL: the tasks of the last moments before a power cut can be lost.')
  return problems
}
