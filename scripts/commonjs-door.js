// @ts-check
/**
 * Writes what CommonJS consumers need beside the ES modules in dist/, from the exports of the built declarations, so
 * that neither can lag behind: `index.cjs`, which makes `require('fastify-tasks')` the plugin with everything else as
 * its properties, and an `index.d.cts` for each entry. There is one copy of the code and one of the types: the .cjs
 * requires the ES module (Node >= 20.19), the .d.cts files name the types of the .d.ts files.
 */
import { writeFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import ts from 'typescript'

const DIST = resolve(import.meta.dirname, '../dist/lib')
const ATTRIBUTES = "with { 'resolution-mode': 'import' }"

const written = [plugin(resolve(DIST, 'index.d.ts')), names(resolve(DIST, 'worker/index.d.ts')), names(resolve(DIST, 'conformance/index.d.ts'))]
check(written)

/**
 * @param {string} entry
 * @returns {string} the file written
 */
function plugin (entry) {
  const members = exportsOf(entry).filter(({ name }) => name !== 'default')
  const code = [
    "'use strict'",
    '',
    "const api = require('./index.js')",
    '',
    '// The plugin of the one ES module, with its other exports as properties: what Fastify users require.',
    'module.exports = Object.assign(api.default, {',
    ...members.filter(({ isValue }) => isValue).map(({ name }) => `  ${name}: api.${name},`),
    '  default: api.default',
    '})',
    ''
  ]
  writeFileSync(resolve(dirname(entry), 'index.cjs'), code.join('\n'))
  const types = [
    `import type * as api from './index.js' ${ATTRIBUTES}`,
    '',
    'declare function fastifyTasks (...parameters: Parameters<typeof api.default>): ReturnType<typeof api.default>',
    'declare namespace fastifyTasks {',
    ...members.filter(({ name }) => name !== 'fastifyTasks').flatMap((member) => declarations(member, '  export ')),
    '  export { fastifyTasks, fastifyTasks as default }',
    '}',
    'export = fastifyTasks',
    ''
  ]
  return write(entry, types)
}

/**
 * @param {string} entry
 * @returns {string} the file written
 */
function names (entry) {
  return write(entry, [
    `import type * as api from './index.js' ${ATTRIBUTES}`,
    '',
    ...exportsOf(entry).flatMap((member) => declarations(member, 'export declare ')),
    ''
  ])
}

/**
 * @param {string} entry
 * @param {string[]} lines
 */
function write (entry, lines) {
  const file = resolve(dirname(entry), 'index.d.cts')
  writeFileSync(file, lines.join('\n'))
  return file
}

/**
 * @typedef {{ name: string, isValue: boolean, isType: boolean, parameters: string, passed: string }} Member
 * @param {Member} member
 * @param {string} prefix
 * @returns {string[]}
 */
function declarations ({ name, isValue, isType, parameters, passed }, prefix) {
  return [
    ...(isValue ? [`${prefix}const ${name}: typeof api.${name}`] : []),
    ...(isType ? [`${prefix.replace('declare ', '')}type ${name}${parameters} = api.${name}${passed}`] : [])
  ]
}

/**
 * The exports of a declaration file, sorted by name.
 * @param {string} entry
 * @returns {Member[]}
 */
function exportsOf (entry) {
  const program = ts.createProgram([entry], { module: ts.ModuleKind.NodeNext, noEmit: true, skipLibCheck: true })
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(entry)
  const module = source && checker.getSymbolAtLocation(source)
  if (!module) throw new Error(`${entry} is not a module: run tsc first`)
  return checker.getExportsOfModule(module).map((exported) => {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
    const typeOnly = exported.declarations?.some((node) => ts.isExportSpecifier(node) && (node.isTypeOnly || node.parent.parent.isTypeOnly)) === true
    const generic = (symbol.declarations ?? []).find((node) => ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node) || ts.isTypeAliasDeclaration(node))
    const parameters = generic?.typeParameters ?? []
    const list = (/** @type {string[]} */ texts) => texts.length === 0 ? '' : `<${texts.join(', ')}>`
    return {
      name: exported.name,
      isValue: (symbol.flags & ts.SymbolFlags.Value) !== 0 && !typeOnly,
      isType: (symbol.flags & ts.SymbolFlags.Type) !== 0,
      parameters: list(parameters.map((parameter) => parameter.getText())),
      passed: list(parameters.map((parameter) => parameter.name.text))
    }
  }).sort((a, b) => a.name < b.name ? -1 : 1)
}

/**
 * A declaration that does not compile is the consumer's error message: find it here.
 * @param {string[]} files
 */
function check (files) {
  const program = ts.createProgram(files, { module: ts.ModuleKind.Node16, target: ts.ScriptTarget.ES2022, strict: true, noEmit: true, types: ['node'] })
  const wrong = files.flatMap((file) => ts.getPreEmitDiagnostics(program, program.getSourceFile(file)))
  if (wrong.length === 0) return
  console.error(ts.formatDiagnostics(wrong, {
    getCurrentDirectory: () => process.cwd(),
    getCanonicalFileName: (name) => relative(process.cwd(), name),
    getNewLine: () => '\n'
  }))
  process.exitCode = 1
}
