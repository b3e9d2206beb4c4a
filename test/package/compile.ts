import { join } from 'node:path'
import ts from 'typescript'

// The declarations of others, parsed and bound once for all projects: they are most of what tsc does with a small one.
const parsed = new Map<string, ts.SourceFile>()

/**
 * Compile the project of a folder as `tsc -p` does, and answer what is wrong, a line each. Of declarations those of
 * the package are checked, and Fastify's, to which it adds: under `skipLibCheck: false` all the others would take most of
 * the time, and are not ours.
 */
export function compile (folder: string): string[] {
  const fatal: ts.Diagnostic[] = []
  const config = ts.getParsedCommandLineOfConfigFile(join(folder, 'tsconfig.json'), {}, { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (diagnostic) => { fatal.push(diagnostic) } })
  if (config === undefined) return describe(fatal)
  const program = ts.createProgram({ rootNames: config.fileNames, options: config.options, host: sharing(config.options) })
  const checked = program.getSourceFiles().filter(({ fileName, isDeclarationFile }) => !isDeclarationFile || /\/node_modules\/(?:fastify-tasks|fastify)\//.test(fileName))
  const found = [
    ...config.errors,
    ...program.getOptionsDiagnostics(),
    ...checked.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]),
    ...program.getGlobalDiagnostics(),
    ...checked.flatMap((file) => file.isDeclarationFile ? [] : program.emit(file).diagnostics) // of all at once, it would check every file
  ]
  return describe(found)
}

function sharing (options: ts.CompilerOptions): ts.CompilerHost {
  const host = ts.createCompilerHost(options)
  return {
    ...host,
    getSourceFile: (name, how, ...rest) => {
      if (!/\.d\.[cm]?ts$/.test(name)) return host.getSourceFile(name, how, ...rest)
      const { languageVersion, impliedNodeFormat } = typeof how === 'object' ? how : { languageVersion: how }
      const key = `${name} ${languageVersion} ${String(impliedNodeFormat)}`
      const file = parsed.get(key) ?? host.getSourceFile(name, how, ...rest)
      if (file !== undefined) parsed.set(key, file)
      return file
    }
  }
}

function describe (diagnostics: readonly ts.Diagnostic[]): string[] {
  return diagnostics.map(({ file, messageText }) => `${file?.fileName ?? ''}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`)
}
