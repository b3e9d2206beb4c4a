export { openStore, KnexStore } from './knex-store.js'
export { parseUrl, type StoreConfig, type Location } from './config.js'
export type * from './store.js'
