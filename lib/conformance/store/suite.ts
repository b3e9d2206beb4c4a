import type { Bench } from './bench.js'

/** A chapter of the store's suite: it is given a way to declare tests, each on fresh tables. */
export type Chapter = (test: StoreTest) => void

export type StoreTest = (name: string, body: (bench: Bench) => Promise<void>) => void
