import { runWorker } from 'fastify-tasks/worker'
import { buildApp } from './limited.js'

await runWorker(buildApp)
