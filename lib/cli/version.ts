import { readFileSync } from 'node:fs'

/** The version in the package.json that this file was installed with. */
export function packageVersion (): string {
  // dist/lib/cli/version.js
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
