import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** A fenced code block of a page. */
export interface Block {
  /** Path of the page, from the root. */
  readonly page: string
  /** Where its code begins; 1 is the first. */
  readonly line: number
  readonly language: string
  readonly code: string
}

/** The fenced blocks of a page, in order. */
export async function blocksOf (page: string): Promise<Block[]> {
  const lines = (await readFile(new URL(page, `file://${root}`), 'utf8')).split('\n')
  const blocks: Block[] = []
  for (let index = 0; index < lines.length; index++) {
    const language = /^```(\w*)$/.exec(lines[index] as string)?.[1]
    if (language === undefined) continue
    const end = lines.indexOf('```', index + 1)
    if (end === -1) throw new Error(`${page}:${index + 1}: this block does not end`)
    blocks.push({ page, line: index + 2, language, code: lines.slice(index + 1, end).join('\n') })
    index = end
  }
  return blocks
}
