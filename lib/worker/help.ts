import { WORKER_OPTIONS } from './options.js'

/** What a worker script prints for `--help`. */
export function workerHelp (): string {
  const rows = WORKER_OPTIONS.map(({ flag, value, help, default: fallback, kind }) => ({
    flag: `--${flag}${value === undefined ? '' : ` ${value}`}`,
    text: fallback === undefined || kind === 'boolean' ? help : `${help} Default: ${fallback}.`
  }))
  const width = Math.max(...rows.map(({ flag }) => flag.length))
  const lines = [...rows, { flag: '--help', text: 'Show this.' }].map(({ flag, text }) => `  ${flag.padEnd(width)}  ${text}`)
  return `Runs the tasks of this app.\n\n${lines.join('\n')}\n\nEach flag can be given as ${WORKER_OPTIONS[0]?.env ?? ''} and so on; a flag wins.\n`
}
