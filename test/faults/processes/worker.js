import { runWorker } from 'fastify-tasks/worker'
import { buildApp } from './app.js'

await runWorker(buildApp)
