import type { Test } from 'tap'
import { openStore, type KnexStore } from '#lib/store/index.js'
import { postgres } from './postgres-databases.ts'

/** A store on an empty database, until the test ends. */
export async function openPostgresStore (t: Test): Promise<KnexStore> {
  const { url, close } = await postgres.open()
  const store = openStore({ url })
  await store.open()
  t.teardown(async () => {
    await store.close()
    await close()
  })
  return store
}
