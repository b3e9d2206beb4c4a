import t from 'tap'
import { databases } from '../support/databases.ts'
import { openStore } from '#lib/store/index.js'
import { testStore } from '#lib/conformance/store/index.js'
for (const database of databases) {
  testStore({ name: database.name, test: (n: string, f: any) => t.test(n, f), open: async () => {
    const { url, close } = await database.open()
    const stores: any[] = []
    const connect = async () => { const s = openStore({ url }); await s.open(); stores.push(s); return s }
    const store = await connect()
    return { store, connect, close: async () => { for (const s of stores) await s.close(); await close() } }
  } })
}
