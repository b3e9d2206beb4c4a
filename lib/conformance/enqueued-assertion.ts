import { AssertionError } from 'node:assert'
import { inspect } from 'node:util'
import type { TaskResult } from '../core/result.js'
import type { EnqueueMatch } from './enqueued-match.js'

/** Every result that there is, and by what it does not fit. */
export interface Looked {
  readonly match: EnqueueMatch
  readonly candidates: ReadonlyArray<{ readonly result: TaskResult, readonly differs: readonly string[] }>
}

const SHOWN_MAX = 20
const ARGS_LENGTH_MAX = 200

/** The results that fit, where their number is right. Otherwise an error that shows what was enqueued instead. */
export function assertEnqueued (operator: string, { match, candidates }: Looked, wanted: string, isRight: (found: number) => boolean): any[] {
  const found = candidates.filter(({ differs }) => differs.length === 0).map(({ result }) => result)
  if (isRight(found.length)) return found
  throw new AssertionError({
    message: `Expected ${wanted} enqueued ${describe(match)}, and found ${found.length === 0 ? 'none' : found.length}.\n${listOf(candidates)}`,
    actual: found.length,
    expected: wanted,
    operator: `enqueued.${operator}`,
    stackStartFn: assertEnqueued
  })
}

function describe (match: EnqueueMatch): string {
  const { task, ...others } = match
  const fields = Object.entries(others).map(([field, value]) => `${field} ${inspect(value, { depth: 8, breakLength: Infinity })}`)
  const name = task === undefined ? 'task' : `'${typeof task === 'string' ? task : task.name}'`
  return fields.length === 0 ? name : `${name} with ${fields.join(', ')}`
}

/** What comes nearest first: a mistake in one field is what a test is most often about. */
function listOf (candidates: Looked['candidates']): string {
  if (candidates.length === 0) return 'Nothing was enqueued.'
  const nearest = [...candidates].sort((a, b) => rank(a.differs) - rank(b.differs))
  const lines = nearest.slice(0, SHOWN_MAX).map(({ result, differs }) => `- ${lineOf(result)}${differs.length === 0 ? ' (fits)' : ` (not: ${differs.join(', ')})`}`)
  const more = candidates.length - lines.length
  return [`Enqueued were ${candidates.length}:`, ...lines, ...more > 0 ? [`and ${more} more`] : []].join('\n')
}

function rank (differs: readonly string[]): number {
  return differs.length + (differs.includes('task') ? 100 : 0)
}

function lineOf ({ taskName, args, queueName, priority, status, runAfter }: TaskResult): string {
  const text = JSON.stringify(args)
  const shown = text.length > ARGS_LENGTH_MAX ? `${text.slice(0, ARGS_LENGTH_MAX)}…` : text
  const details = [`queue ${queueName}`, ...priority === 0 ? [] : [`priority ${priority}`], ...runAfter === null ? [] : [`runAfter ${runAfter.toISOString()}`]]
  return `'${taskName}' ${shown} ${details.join(', ')}, ${status}`
}
