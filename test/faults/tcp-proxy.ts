import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'

interface Pair { readonly client: Socket, readonly server: Socket, swallow: boolean }

interface Cut { readonly pattern: RegExp, readonly onCut: () => void, readonly how: 'reset' | 'stall' }

/** A TCP proxy that can be as bad as a network. */
export class TcpProxy {
  readonly #listener: Server
  readonly #pairs = new Set<Pair>()
  #target: { host: string, port: number }
  #silent = false
  #refusing = false
  #delayMs = 0
  #cut: Cut | null = null

  private constructor (target: { host: string, port: number }) {
    this.#target = target
    this.#listener = createServer((client) => { this.#accept(client) })
  }

  static async open (target: { host: string, port: number }): Promise<TcpProxy> {
    const proxy = new TcpProxy(target)
    await new Promise<void>((resolve) => { proxy.#listener.listen(0, '127.0.0.1', resolve) })
    return proxy
  }

  get port (): number {
    return (this.#listener.address() as AddressInfo).port
  }

  /** Where connections lead from now on; those that are open are reset. */
  repoint (port: number): void {
    this.#target = { ...this.#target, port }
    this.reset()
  }

  /** Connections that are open. */
  get size (): number {
    return this.#pairs.size
  }

  /** Everything passes again: connections that were held in silence get what was held back. */
  heal (): void {
    this.#silent = false
    this.#refusing = false
    this.#delayMs = 0
    this.#cut = null
    for (const { client, server } of this.#pairs) {
      client.resume()
      server.resume()
    }
  }

  /** End every connection as a crash of a router would: with a reset. */
  reset (): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy()
      server.resetAndDestroy()
    }
    this.#pairs.clear()
  }

  /** Nothing passes in either direction, and nobody is told: connections are half open, new ones hang. */
  blackHole (): void {
    this.#silent = true
    for (const { client, server } of this.#pairs) {
      client.pause()
      server.pause()
    }
  }

  refuse (): void {
    this.#refusing = true
    this.reset()
  }

  /** Every packet takes so much longer, each way. */
  delay (milliseconds: number): void {
    this.#delayMs = milliseconds
  }

  /** The next statement that matches reaches the server and is done there; its answer never comes back. */
  loseReplyTo (pattern: RegExp, onCut: () => void): void {
    this.#cut = { pattern, onCut, how: 'reset' }
  }

  /** The next statement that matches reaches the server, and from then on nothing comes back on its connection. */
  stallReplyTo (pattern: RegExp, onCut: () => void = () => {}): void {
    this.#cut = { pattern, onCut, how: 'stall' }
  }

  async close (): Promise<void> {
    const closed = new Promise((resolve) => { this.#listener.close(resolve) })
    this.reset()
    await closed
  }

  #accept (client: Socket): void {
    if (this.#refusing) { client.resetAndDestroy(); return }
    const pair: Pair = { client, server: connect(this.#target), swallow: false }
    const { server } = pair
    this.#pairs.add(pair)
    for (const socket of [client, server]) {
      socket.on('error', () => {})
      socket.setNoDelay(true)
    }
    if (this.#silent) {
      client.pause()
      server.pause()
    }
    client.on('data', (data) => {
      const cut = this.#cut
      if (cut !== null && !pair.swallow && cut.pattern.test(data.toString('latin1'))) {
        this.#cut = null
        if (cut.how === 'reset') pair.swallow = true
        else server.pause()
        cut.onCut()
      }
      this.#pass(data, server)
    })
    server.on('data', (data) => {
      if (!pair.swallow) { this.#pass(data, client); return }
      // Ready for query: whatever it was is done, and committed.
      if (isReadyForQuery(data)) client.resetAndDestroy()
    })
    const end = (): void => {
      this.#pairs.delete(pair)
      client.destroy()
      server.destroy()
    }
    client.once('close', end)
    server.once('close', end)
  }

  #pass (data: Buffer, to: Socket): void {
    if (this.#delayMs === 0) to.write(data)
    else setTimeout(() => { if (!to.destroyed) to.write(data) }, this.#delayMs)
  }
}

/** PostgreSQL ends each answer with 'Z', a length of 5, and 'I' where no transaction is left open. */
function isReadyForQuery (data: Buffer): boolean {
  return data.length >= 6 && data.subarray(-6).equals(Buffer.from([0x5a, 0, 0, 0, 5, 0x49]))
}
