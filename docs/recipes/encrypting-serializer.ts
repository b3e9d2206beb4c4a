import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Serializer } from 'fastify-tasks'

export interface Encryption {
  /** The id of the key that is written with. */
  readonly current: string
  /** Keys of 32 bytes by their ids. Older ones stay for as long as rows that were written with them are to be read. */
  readonly keys: Readonly<Record<string, Uint8Array>>
  /** Bound to each text: what was written for another purpose, such as another app with the same keys, is refused. */
  readonly purpose?: string
}

/**
 * Arguments, return values and progress as AES-256-GCM: `v1.KEY.BASE64URL`, where the last part is the nonce (12 bytes),
 * the tag (16) and the ciphertext. Whoever changes a bit of it, or its key id, is found out.
 *
 * What it cannot do: a serializer is not told of the row, so that a text which is moved to another row of the same
 * purpose is not found out. Nonces are random: write no more than 2^32 values with one key.
 */
export function encryptingSerializer ({ current, keys, purpose = 'fastify-tasks' }: Encryption): Serializer {
  for (const [id, key] of Object.entries(keys)) {
    if (!/^[\w-]{1,32}$/.test(id)) throw new TypeError('The id of a key must be 1 to 32 letters, digits, _ or -.')
    if (key.byteLength !== 32) throw new TypeError(`Key '${id}' must have 32 bytes.`)
  }
  const keyOf = (id: string): Uint8Array => {
    const key = Object.hasOwn(keys, id) ? keys[id] : undefined
    if (key === undefined) throw new UnknownKeyError(id)
    return key
  }
  keyOf(current)
  const bound = (id: string): Buffer => Buffer.from(JSON.stringify(['v1', purpose, id]))
  return {
    encode (value) {
      const nonce = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', keyOf(current), nonce, { authTagLength: 16 }).setAAD(bound(current))
      const text = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()])
      return `v1.${current}.${Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64url')}`
    },
    decode (stored) {
      const [, id, body] = /^v1\.([\w-]+)\.([\w-]+)$/.exec(stored) ?? []
      if (id === undefined || body === undefined) throw new TypeError('This is no text of the encrypting serializer.')
      const bytes = Buffer.from(body, 'base64url')
      const decipher = createDecipheriv('aes-256-gcm', keyOf(id), bytes.subarray(0, 12), { authTagLength: 16 })
      decipher.setAAD(bound(id)).setAuthTag(bytes.subarray(12, 28))
      return JSON.parse(Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8')) as unknown
    }
  }
}

/** A row was written with a key that is not at hand. */
export class UnknownKeyError extends Error {
  readonly code = 'UNKNOWN_KEY'

  constructor (id: string) {
    super(`There is no key '${id}'.`)
    this.name = 'UnknownKeyError'
  }
}
