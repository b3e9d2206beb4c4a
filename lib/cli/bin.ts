#!/usr/bin/env node
import { main } from './main.js'

// `fastify-tasks list | head` closes the pipe early: that is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

// Set, not exit(): what was written to a pipe is still on its way, and commands leave nothing open.
process.exitCode = await main(process.argv.slice(2), {
  stdout: (text) => { process.stdout.write(text) },
  stderr: (text) => { process.stderr.write(text) },
  env: process.env
})
