import { readFileSync } from 'node:fs'

/** Version of a package that the bench has installed. */
export function versionOf (name) {
  return read(new URL(`../node_modules/${name}/package.json`, import.meta.url)).version
}

/** Version of the package in this repository. */
export function ourVersion () {
  return read(new URL('../../package.json', import.meta.url)).version
}

function read (url) {
  return JSON.parse(readFileSync(url, 'utf8'))
}
