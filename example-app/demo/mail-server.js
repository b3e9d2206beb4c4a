// @ts-check
import { once } from 'node:events'
import { SMTPServer } from 'smtp-server'

/**
 * A real SMTP server on loopback that counts what it takes. It keeps no mail. Some mailboxes are trouble: one at
 * `full.example.com` refuses every first try for good, until "its owner has made room"; one at `busy.example.com`
 * asks every first try to come back later.
 */
export class MailServer {
  /** Mails taken, by `address Message-ID`. @type {Map<string, number>} */
  taken = new Map()
  /** @type {Set<string>} */
  #turnedAway = new Set()
  /** @type {SMTPServer} */
  #server

  /** @param {{ delay?: number }} [options] `delay`: milliseconds that it thinks about each mail */
  constructor ({ delay = 0 } = {}) {
    this.#server = new SMTPServer({
      disabledCommands: ['AUTH', 'STARTTLS'],
      hideSize: true,
      onRcptTo: ({ address }, _session, done) => { done(this.#objection(address)) },
      onData: (stream, session, done) => {
        let text = ''
        stream.on('data', (chunk) => { text += chunk })
        stream.on('end', () => {
          const id = /^message-id:\s*(\S+)/im.exec(text)?.[1] ?? ''
          for (const { address } of session.envelope.rcptTo) this.#take(`${address} ${id}`)
          setTimeout(done, delay)
        })
      }
    })
    this.#server.on('error', () => {}) // a client that went away in the middle of a mail
  }

  /** How many different mails were taken: one that comes twice has the same Message-ID. */
  get delivered () {
    return this.taken.size
  }

  /** How many were taken a second time. */
  get repeated () {
    return [...this.taken.values()].filter((times) => times > 1).length
  }

  /**
   * @param {number} [port]
   * @returns {Promise<string>} its URL
   */
  async listen (port = 0) {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server.server, 'listening')
    const address = /** @type {import('node:net').AddressInfo} */ (this.#server.server.address())
    return `smtp://127.0.0.1:${address.port}`
  }

  async close () {
    await new Promise((resolve) => { this.#server.close(() => { resolve(undefined) }) })
  }

  /** @param {string} mail */
  #take (mail) {
    this.taken.set(mail, (this.taken.get(mail) ?? 0) + 1)
  }

  /** @param {string} address */
  #objection (address) {
    const [code, text] = REPLIES[address.slice(address.indexOf('@') + 1)] ?? []
    if (code === undefined || this.#turnedAway.delete(address)) return null
    this.#turnedAway.add(address)
    return Object.assign(new Error(text), { responseCode: code })
  }
}

/** @type {Record<string, [number, string]>} */
const REPLIES = {
  'full.example.com': [552, '5.2.2 The mailbox is full'],
  'busy.example.com': [451, '4.3.2 Busy, please come back']
}
