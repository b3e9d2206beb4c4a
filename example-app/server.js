// @ts-check
import { buildApp } from './app.js'

const app = buildApp()
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { app.close() })
process.once('disconnect', () => { app.close() }) // the demo that started it is gone
process.channel?.unref() // waiting for that keeps nobody up

try {
  const url = await app.listen({ host: process.env['HOST'] ?? '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
  process.send?.({ listening: url })
} catch (error) {
  app.log.fatal(error)
  process.exitCode = 1
  await app.close()
}
