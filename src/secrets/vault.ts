// Seals secrets at rest: AES-256-GCM with a key ring. The additional authenticated data names table, row and column, so a
// ciphertext that was moved to another place does not open.

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Key } from '../base/config.ts'
import { UserError } from '../base/failure.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Where a sealed value lives; part of what is authenticated. */
export interface Place {
  readonly table: string
  readonly id: number
  readonly column: string
}

/** A sealed value that this installation cannot open. */
export class SecretUnreadable extends UserError {}

const placeText = (at: Place): string => `${at.table}:${at.id}:${at.column}`

export class Vault {
  #keys: ReadonlyMap<string, Buffer>
  #primary: Key
  readonly #reread: () => readonly Key[]

  /**
   * The first key seals; the others only open what older keys sealed. `reread` gives the ring as it is now: it is asked when a key is
   * met that the ring does not have, because another process may have begun to seal with a new one.
   */
  constructor(keys: readonly Key[], reread: () => readonly Key[] = () => keys) {
    const [primary] = keys
    if (!primary) throw new UserError('the key ring is empty')
    this.#primary = primary
    this.#keys = new Map(keys.map((key) => [key.id, key.bytes]))
    this.#reread = reread
  }

  get primaryKeyId(): string {
    return this.#primary.id
  }

  /** Of the ring, the sealing one first. */
  get keyIds(): readonly string[] {
    return [...this.#keys.keys()]
  }

  /** Returns `v1.<key id>.<base64url of nonce, tag, ciphertext>`. */
  seal(plain: string, at: Place): string {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#primary.bytes, nonce)
    cipher.setAAD(Buffer.from(placeText(at)))
    const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
    return `v1.${this.#primary.id}.${Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64url')}`
  }

  /** Throws SecretUnreadable when the key is not in the ring, is another one, or the value was moved or changed. */
  open(sealed: string, at: Place): string {
    const [version, keyId = '', base64 = ''] = sealed.split('.')
    const key = this.#keys.get(keyId) ?? this.#rereadKey(keyId)
    if (version !== 'v1') throw new SecretUnreadable(`the secret in ${placeText(at)} has an unknown form`)
    if (!key) {
      throw new SecretUnreadable(
        `the secret in ${placeText(at)} was sealed with key "${keyId}", which POSTSTELLE_KEYS does not have`,
      )
    }
    const bytes = Buffer.from(base64, 'base64url')
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      })
      decipher.setAAD(Buffer.from(placeText(at)))
      decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
      return decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
    } catch (error) {
      throw new SecretUnreadable(
        `the secret in ${placeText(at)} does not open with key "${keyId}": wrong key, or the value was moved`,
        {
          cause: error,
        },
      )
    }
  }

  #rereadKey(keyId: string): Buffer | undefined {
    const ring = this.#reread()
    const [primary] = ring
    const found = ring.find((key) => key.id === keyId)
    if (!primary || !found) return undefined
    this.#primary = primary
    this.#keys = new Map(ring.map((key) => [key.id, key.bytes]))
    return found.bytes
  }
}
