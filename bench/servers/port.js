import { createServer } from 'node:net'

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort () {
  return await new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => { resolve(port) })
    })
  })
}
