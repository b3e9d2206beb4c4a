import type { ClaimRequest } from '../store.js'
import type { Session, Statement } from '../session.js'

/** Write down a claimed batch: how its rows are found should its worker die. */
export function batchOf ({ dialect, tables }: Session, { worker, claim, backend, start }: Pick<ClaimRequest, 'worker' | 'claim' | 'backend' | 'start'>, ids: readonly string[]): Statement {
  return [`INSERT INTO ${tables.claims} (worker, claim, backend, started, ids) VALUES (?, ?, ?, ?, ?)`, [worker, claim, backend, start, dialect.idList(ids)]]
}

/** Forget batches of which every row has its end written. */
export function endClaims ({ dialect, tables }: Session, worker: string, ended: readonly number[]): Statement {
  return [`DELETE FROM ${tables.claims} WHERE worker = ? AND ${dialect.isIn('claim', 'bigint')}`, [worker, dialect.list(ended)]]
}
