import { runWorker } from 'fastify-tasks/worker'

await runWorker(async () => await (await import('./limited.js')).buildApp())
