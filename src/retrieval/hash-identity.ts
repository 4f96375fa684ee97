// A server without UIDL: a message is known by its bytes. Equal messages are counted, so that a true twin is not taken for the
// one that is stored already.

import type { LedgerKey } from '../db/ledger.ts'

const PREFIX = 'sha256:'

export const isHashUidl = (uidl: string): boolean => uidl.startsWith(PREFIX)

export class HashIdentity {
  /** How many messages with these bytes are stored and not listed under a UIDL; by hash in hexadecimal digits. */
  readonly #stored: ReadonlyMap<string, number>
  readonly #seen = new Map<string, number>()

  constructor(stored: ReadonlyMap<string, number>) {
    this.#stored = stored
  }

  /** The key of the next message with this hash, and whether it is stored already. */
  identify(sha256: Buffer): { key: LedgerKey; known: boolean } {
    const hash = sha256.toString('hex')
    const ordinal = (this.#seen.get(hash) ?? 0) + 1
    this.#seen.set(hash, ordinal)
    return { key: { uidl: PREFIX + hash, ordinal }, known: ordinal <= (this.#stored.get(hash) ?? 0) }
  }
}
