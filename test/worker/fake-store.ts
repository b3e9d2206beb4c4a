import type { ClaimedRow, ClaimRequest, Ending, FinishedRow, Renewal, Store } from '#lib/store/store.js'

/** A store that does what the test says, and keeps what it was asked. Verbs that were not said are not there. */
export function fakeStore (verbs: Partial<Store>): Store {
  return verbs as Store
}

export function claimedRow (fields: Partial<ClaimedRow> = {}): ClaimedRow {
  return {
    id: 'id',
    backend: 'default',
    task: 'note',
    queue: 'default',
    priority: 0,
    status: 'RUNNING',
    args: '[]',
    options: null,
    runAfter: null,
    due: 1,
    enqueuedAt: 1,
    startedAt: 1,
    lastAttemptedAt: 1,
    finishedAt: null,
    attempts: 1,
    priorAttempts: 0,
    deaths: 0,
    workerIds: [],
    errors: [],
    returnValue: null,
    progress: null,
    claim: 1,
    cursor: { due: 1, tie: 1 },
    ...fields
  }
}

export function success (row: ClaimedRow): Ending {
  return { id: row.id, claim: row.claim, status: 'SUCCESSFUL', returnValue: 'null' }
}

export function accepted (endings: readonly Ending[]): FinishedRow[] {
  return endings.map(({ id, status }) => ({ id, status, at: 1, runAfter: null }))
}

export type { ClaimedRow, ClaimRequest, Renewal }

/** A logger that keeps what it was told. */
export function fakeLog (): { log: any, lines: Array<{ level: string, fields: any, text: string }> } {
  const lines: Array<{ level: string, fields: any, text: string }> = []
  const writer = (level: string) => (fields: any, text?: string) => { lines.push({ level, fields: text === undefined ? {} : fields, text: text ?? fields }) }
  return { log: { debug: writer('debug'), info: writer('info'), warn: writer('warn'), error: writer('error') }, lines }
}
