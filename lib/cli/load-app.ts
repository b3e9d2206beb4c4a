import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance, FastifyPluginAsync, FastifyPluginCallback } from 'fastify'
import fp from 'fastify-plugin'
import { CommandFailed } from './command.js'

/**
 * Make the app of a file: its `buildApp` called, or its default export registered as a plugin on a fresh instance that
 * logs. ES modules and CommonJS alike.
 */
export async function loadApp (path: string): Promise<FastifyInstance> {
  const file = appFile(path)
  const { buildApp, plugin } = entriesOf(await import(pathToFileURL(file).href) as Exports)
  if (buildApp === undefined && plugin === undefined) {
    throw new CommandFailed(`${file} exports neither buildApp, a function that gives the Fastify instance, nor a default, a plugin.`)
  }
  const app = buildApp !== undefined ? await buildApp() : await freshApp(plugin as Plugin)
  if (!isApp(app)) throw new CommandFailed(`buildApp of ${file} gave no Fastify instance.`)
  return app
}

/** The absolute path. @throws CommandFailed where there is no such file */
export function appFile (path: string): string {
  const file = resolve(path)
  if (!existsSync(file)) throw new CommandFailed(`there is no file ${file}.`)
  return file
}

interface Exports { buildApp?: unknown, default?: unknown, __esModule?: unknown }
interface Entries { buildApp: (() => unknown) | undefined, plugin: unknown }

function entriesOf (module: Exports): Entries {
  // What import() calls the default of a CommonJS file is its module.exports: the file's own exports are in there.
  const inner = (module.default ?? {}) as Exports
  const compiled = inner.__esModule === true
  const buildApp = module.buildApp ?? inner.buildApp
  const plugin = compiled ? inner.default : module.default
  return {
    buildApp: typeof buildApp === 'function' ? buildApp as () => unknown : undefined,
    plugin: typeof plugin === 'function' ? plugin : undefined
  }
}

type Plugin = FastifyPluginAsync | FastifyPluginCallback

async function freshApp (plugin: Plugin): Promise<FastifyInstance> {
  const { default: fastify } = await import('fastify')
  const app = fastify({ logger: true })
  void app.register(Object.hasOwn(plugin, SKIP_OVERRIDE) ? plugin : onRoot(plugin))
  return app
}

const SKIP_OVERRIDE = Symbol.for('skip-override')

/** Without a context of its own: what it registers (fastify-tasks is what matters) is the worker's as well. */
function onRoot (plugin: Plugin): Plugin {
  // Fastify tells a plugin with a callback by its three parameters.
  return plugin.length > 2
    ? fp((app, options, done) => { (plugin as FastifyPluginCallback)(app, options, done) })
    : fp(async (app: FastifyInstance, options: object) => { await (plugin as FastifyPluginAsync)(app, options) })
}

function isApp (value: unknown): value is FastifyInstance {
  return typeof value === 'object' && value !== null && 'register' in value && 'ready' in value
}
