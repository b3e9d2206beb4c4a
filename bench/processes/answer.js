/** What this process was started with. */
export const spec = JSON.parse(process.argv[2] ?? '{}')

/**
 * Answer the calls of the process that started this one. However that one ends, this one closes and ends, too.
 * @param {() => Promise<Record<string, Function>>} open - gives the functions that may be called; `close` is one of them
 */
export function answer (open) {
  const opened = open()
  opened.catch(() => {}) // told to whoever calls
  process.on('message', async ({ id, name, args }) => {
    try {
      const functions = await opened
      const value = name === 'ready' ? null : await functions[name](...args)
      if (process.connected) process.send({ id, value })
    } catch (error) {
      if (process.connected) process.send({ id, error: error?.stack ?? String(error) })
    }
  })
  process.once('disconnect', async () => {
    try {
      await (await opened).close()
    } finally {
      process.exit()
    }
  })
}

/** Tell the process that started this one. */
export function tell (event, value) {
  if (process.connected) process.send({ event, value })
}
