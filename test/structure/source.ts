import { readdir, readFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import ts from 'typescript'

export const root = resolve(import.meta.dirname, '../..')

/** A source file of the package, parsed. */
export interface Source {
  /** From the root of the repository, with slashes. */
  readonly path: string
  readonly tree: ts.SourceFile
}

export interface Import {
  readonly from: string
  /** A path from the root for a file of ours, else the name of a package. */
  readonly to: string
  readonly typeOnly: boolean
  /** `import()`: it runs when the call does, and makes no cycle while modules load. */
  readonly dynamic: boolean
}

/** Every TypeScript file under these folders. */
export async function sources (...folders: string[]): Promise<Source[]> {
  const found = await Promise.all(folders.map(async (folder) => (await readdir(join(root, folder), { recursive: true }))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name))))
  return await Promise.all(found.flat().sort().map(async (path) => ({
    path,
    tree: ts.createSourceFile(path, await readFile(join(root, path), 'utf8'), ts.ScriptTarget.Latest, true)
  })))
}

export function importsOf ({ path, tree }: Source): Import[] {
  const imports: Import[] = []
  const add = (specifier: ts.Node | undefined, typeOnly: boolean, dynamic = false): void => {
    if (specifier === undefined || !ts.isStringLiteral(specifier)) return
    const to = specifier.text.startsWith('.') ? relative(root, resolve(root, path, '..', specifier.text)).replace(/\.js$/, '.ts') : specifier.text
    imports.push({ from: path, to, typeOnly, dynamic })
  }
  walk(tree, (node) => {
    if (ts.isImportDeclaration(node)) {
      const { importClause: clause } = node
      const names = clause?.namedBindings
      const allTypes = names !== undefined && ts.isNamedImports(names) && names.elements.length > 0 && names.elements.every(({ isTypeOnly }) => isTypeOnly) && clause?.name === undefined
      add(node.moduleSpecifier, clause?.isTypeOnly === true || allTypes)
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly)
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false, true)
    }
  })
  return imports
}

/** What stands between quotes, with the line it begins on; comments and import paths left out. */
export function textsOf ({ tree }: Source): Array<{ text: string, line: number }> {
  const texts: Array<{ text: string, line: number }> = []
  walk(tree, (node) => {
    if (ts.isImportDeclaration(node.parent ?? node) || ts.isExportDeclaration(node.parent ?? node)) return
    const isText = ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node) || ts.isTemplateHead(node) || ts.isTemplateMiddle(node) || ts.isTemplateTail(node)
    if (isText) texts.push({ text: node.text, line: tree.getLineAndCharacterOfPosition(node.getStart()).line + 1 })
  })
  return texts
}

export function walk (node: ts.Node, visit: (node: ts.Node) => void): void {
  ts.forEachChild(node, (child) => {
    visit(child)
    walk(child, visit)
  })
}
