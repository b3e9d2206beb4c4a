import { UsageError } from './command.js'

/** The code of a command line that is wrong, by whoever checked it. */
const USAGE_CODES: ReadonlySet<string> = new Set(['FST_TASKS_INVALID_OPTION', 'FST_TASKS_INVALID_FILTER'])

/** True where the command line itself is at fault: exit code 2. */
export function isUsageFault (error: unknown): boolean {
  const code = codeOf(error)
  return error instanceof UsageError || USAGE_CODES.has(code) || code.startsWith('ERR_PARSE_ARGS_')
}

/** One line for people: the message, and the code where it is one of ours. No stack, no credentials of a URL. */
export function describeError (error: unknown): string {
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  const line = maskUrls(message === '' ? (code === '' ? 'unknown error' : code) : message)
  return code.startsWith('FST_') ? `${line} (${code})` : line
}

function codeOf (error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : ''
}

/** Messages of drivers and of an app's own code may repeat the URL that they were given. */
function maskUrls (text: string): string {
  return text.replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi, '$1***@')
}
