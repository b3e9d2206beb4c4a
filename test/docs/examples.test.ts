import t from 'tap'
import { join } from 'node:path'
import ts from 'typescript'
import { blocksOf, root, type Block } from './blocks.ts'

const PAGES = ['README.md', 'docs/extending.md', 'docs/deployment.md', 'docs/architecture.md', 'CHANGELOG.md']

/** What a block may use without saying where it comes from: the pages introduce these names. */
const NAMES = `
import type { FastifyInstance } from 'fastify'
import type { Knex } from 'knex'
import type { AnyTask, Task, TaskContext } from 'fastify-tasks'
declare global {
  const app: FastifyInstance
  const knex: Knex
  const add: Task<[a: number, b: number], Promise<number>>
  const sendWelcome: Task<[email: string], Promise<void>>
  const buildReport: Task<[month: string], Promise<void>, (context: TaskContext, month: string) => Promise<void>>
  const recalculate: Task<[orderId: number], Promise<void>>
  const tasks: AnyTask[]
}
`

t.test('every TypeScript example of the pages compiles under strict rules, and one that does not is found', async (t) => {
  const pages = await Promise.all(PAGES.map(async (page) => await blocksOf(page)))
  const blocks = pages.flat().filter(({ language }) => language === 'ts')
  t.ok(blocks.length >= 10, `${blocks.length} examples`)
  // One that is wrong, so that a check which looks at nothing fails.
  const wrong: Block = { page: 'wrong', line: 1, language: 'ts', code: "await add.enqueue('1', 2)" }
  const problems = check([...blocks, wrong])
  t.strictSame(problems.filter((problem) => !problem.startsWith('wrong:')), [])
  t.match(problems.at(-1), /^wrong:1 .*not assignable/)
})

function check (blocks: readonly Block[]): string[] {
  const files = new Map([[join(root, 'test/docs/names.d.ts'), NAMES]])
  const byFile = new Map<string, Block>()
  for (const [index, block] of blocks.entries()) {
    const file = join(root, `test/docs/example-${index}.ts`)
    files.set(file, `${block.code}\nexport {}\n`)
    byFile.set(file, block)
  }
  const options: ts.CompilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    skipLibCheck: true,
    noEmit: true
  }
  const program = ts.createProgram([...files.keys()], options, hostWith(files, options))
  return ts.getPreEmitDiagnostics(program).map((diagnostic) => describe(diagnostic, byFile))
}

/** The compiler's own host, with these files on top of the disk's. */
function hostWith (files: ReadonlyMap<string, string>, options: ts.CompilerOptions): ts.CompilerHost {
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile, getSourceFile } = host
  host.getCurrentDirectory = () => root
  host.fileExists = (path) => files.has(path) || fileExists.call(host, path)
  host.readFile = (path) => files.get(path) ?? readFile.call(host, path)
  host.getSourceFile = (path, target, ...rest) => {
    const text = files.get(path)
    return text === undefined ? getSourceFile.call(host, path, target, ...rest) : ts.createSourceFile(path, text, target)
  }
  return host
}

function describe (diagnostic: ts.Diagnostic, byFile: ReadonlyMap<string, Block>): string {
  const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ')
  const block = byFile.get(diagnostic.file?.fileName ?? '')
  if (block === undefined || diagnostic.file === undefined) return `${diagnostic.file?.fileName ?? ''} ${message}`
  const { line } = diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start ?? 0)
  return `${block.page}:${block.line + line} ${message}`
}
