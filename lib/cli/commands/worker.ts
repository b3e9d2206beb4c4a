import type { FastifyInstance } from 'fastify'
import { resolveWorkerOptions, WORKER_OPTIONS, workerOptionsFromFlags, type WorkerOption } from '../../worker/options.js'
import { CommandFailed, EXIT_FAILED, EXIT_OK, type Command, type Flag } from '../command.js'
import { appFile, loadApp } from '../load-app.js'

export const worker: Command = {
  name: 'worker',
  summary: 'Run the tasks of an app: fastify-tasks worker ./app.js',
  positionals: ['FILE'],
  flags: Object.fromEntries(WORKER_OPTIONS.map((option) => [option.flag, flagOf(option)])),
  notes: [
    'FILE exports buildApp, a function that gives the Fastify instance, or has a default export, a plugin for a fresh instance.',
    'It never listens. The environment says the same as the flags (TASKS_WORKER_LEASE for --lease); a flag wins.',
    'TIME is a number of milliseconds, or a number with a unit: 500ms, 30s, 5m.'
  ].join(' '),
  async run ({ positionals, flagArguments, terminal }) {
    const path = positionals[0] as string
    // What is wrong with the flags is said before the app is loaded.
    resolveWorkerOptions({ flags: workerOptionsFromFlags(flagArguments).options, code: {}, env: {} })
    appFile(path)
    const { runWorker } = await import('../../worker/index.js')
    // Called in a worker process. What is wrong with the file is for its user, who needs no stack of ours.
    const buildApp = async (): Promise<FastifyInstance> => await loadApp(path).catch((error: unknown) => {
      if (!(error instanceof CommandFailed)) throw error
      terminal.stderr(`fastify-tasks worker: ${error.message}\n`)
      process.exit(EXIT_FAILED)
    })
    await runWorker(buildApp, { argv: flagArguments })
    return typeof process.exitCode === 'number' ? process.exitCode : EXIT_OK
  }
}

function flagOf ({ kind, value, help, default: fallback }: WorkerOption): Flag {
  return {
    type: kind === 'boolean' ? 'boolean' : 'string',
    ...(value !== undefined && { value }),
    help: fallback === undefined || kind === 'boolean' ? help : `${help} Default: ${fallback}.`
  }
}
