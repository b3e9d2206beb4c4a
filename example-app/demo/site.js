// @ts-check

/**
 * The site as a visitor of its JSON sees it.
 *
 * @typedef {object} Mails
 * @property {number} total
 * @property {number} sent
 * @property {number} waiting
 * @property {number} running
 * @property {number} failed
 * @property {number} cancelled
 * @property {Array<{ id: string, args: unknown[], attempts: number, error: string }>} failures
 */

/** Talks to the running site over HTTP. */
export class Site {
  /** @param {string} url */
  constructor (url) {
    this.url = url
  }

  /**
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async post (path, body = {}) {
    return await this.#send(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  }

  /** @returns {Promise<any>} */
  async work () {
    return await this.#send('/work', {})
  }

  /**
   * @param {number} id
   * @returns {Promise<Mails>}
   */
  async mails (id) {
    const { pages } = await this.work()
    return pages.find((/** @type {{ id: number }} */ page) => page.id === id).mails
  }

  /**
   * @param {string} path
   * @param {RequestInit} options
   */
  async #send (path, options) {
    const response = await fetch(new URL(path, this.url), { ...options, signal: AbortSignal.timeout(30_000) })
    const body = await response.json()
    if (!response.ok) throw new Error(`${options.method ?? 'GET'} ${path} answered ${response.status}: ${body.message}`)
    return body
  }
}
