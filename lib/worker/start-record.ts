import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** How far a worker had come in starting what it had claimed. */
export interface Started {
  /** Number of the claim that it started from last; 0 where it had started nothing. */
  readonly claim: number
  /** So many of that claim's rows. Those of earlier claims had all their turn, and of later ones none had. */
  readonly rows: number
}

// Two numbers, and an id of at most 64 characters of ASCII.
const CLAIM = 0
const ROWS = 8
const WORKER = 16
const BYTES = 80

/**
 * Where a worker process writes down each start just before it happens, for whoever finds it dead: a file without a
 * name, shared by its descriptor. What the kernel has been given outlives the process, so nothing is synced, and a
 * start costs one short system call. Rows are marked as started in the database for several at a time; this tells
 * which of them were.
 */
export class StartRecord {
  readonly #file: number
  readonly #bytes = Buffer.alloc(BYTES)
  #worker: string | null = null

  constructor (file: number) {
    this.#file = file
  }

  /** From now on it tells of this worker, which has started nothing. */
  begin (worker: string): void {
    this.#worker = worker
    this.#bytes.fill(0)
    this.#bytes.write(worker, WORKER, 'latin1')
    this.#write()
  }

  /** So many rows of the claim have been started, or are about to be. */
  started (worker: string, claim: number, rows: number): void {
    if (worker !== this.#worker) return // its lease is lost: others have what it held
    this.#bytes.writeDoubleLE(claim, CLAIM)
    this.#bytes.writeDoubleLE(rows, ROWS)
    this.#write()
  }

  #write (): void {
    try {
      writeSync(this.#file, this.#bytes, 0, BYTES, 0)
    } catch {
      // It would tell of less than was started, and must tell nothing.
      this.#worker = null
      ftruncateSync(this.#file, 0)
    }
  }
}

/** The supervisor's end of a record. */
export interface RecordFile {
  /** To be inherited by the worker process. */
  readonly file: number
  /** Null where it tells nothing of this worker. */
  read (worker: string): Started | null
  close (): void
}

/** Null where no file can be made: then all that is marked as started is taken for it. */
export function openRecordFile (): RecordFile | null {
  let file: number
  try {
    const folder = mkdtempSync(join(tmpdir(), 'fastify-tasks-'))
    file = openSync(join(folder, 'started'), 'wx+', 0o600)
    rmSync(folder, { recursive: true, force: true })
  } catch {
    return null
  }
  return {
    file,
    read (worker) {
      const bytes = Buffer.alloc(BYTES)
      try {
        if (readSync(file, bytes, 0, BYTES, 0) < BYTES) return null
      } catch {
        return null
      }
      const id = bytes.toString('latin1', WORKER).replace(/\0+$/, '')
      return id === worker ? { claim: bytes.readDoubleLE(CLAIM), rows: bytes.readDoubleLE(ROWS) } : null
    },
    close () { closeSync(file) }
  }
}
