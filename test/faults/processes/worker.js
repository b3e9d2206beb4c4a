import { runWorker } from 'fastify-tasks/worker'

await runWorker(async () => await (await import('./app.js')).buildApp())
