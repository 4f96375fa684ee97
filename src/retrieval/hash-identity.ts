// Messages without a name of their own: the server has no UIDL, or several messages have the same one. They are known by their
// bytes. Equal messages are counted, so that a true twin is not taken for the one that is stored already.

import { BY_BYTES, BY_HEADERS, ledgerKey, type HashedRow, type LedgerKey } from '../db/ledger.ts'

const hadNoUidl = ({ uidl }: LedgerKey): boolean => uidl.startsWith(BY_BYTES)

export interface Identified {
  readonly key: LedgerKey
  readonly known: boolean
}

export class HashIdentity {
  readonly #rows = new Map<string, LedgerKey[]>()
  readonly #seen = new Set<string>()
  /** Ordinals given to messages under a UIDL that several have. */
  readonly #highest: Map<string, number>
  /** Rows of such UIDLs of which nothing is stored yet. */
  readonly #free = new Map<string, LedgerKey[]>()

  /**
   * `stored`: rows whose message may be one of those without a name. `free`: rows that wait for a message under a shared UIDL.
   * `highest`: the highest ordinal of each shared UIDL.
   */
  constructor(stored: readonly HashedRow[], free: readonly LedgerKey[], highest: ReadonlyMap<string, number>) {
    for (const { hash, uidl, ordinal } of stored) put(this.#rows, hash, { uidl, ordinal })
    for (const key of free) put(this.#free, key.uidl, key)
    this.#highest = new Map(highest)
  }

  /** Keys of everything that was met in this session. */
  get seen(): ReadonlySet<string> {
    return this.#seen
  }

  /** The key of a message with this hash, and whether it is stored already. `uidl`: what it shares with others; '' for none. */
  identify(sha256: Buffer, uidl: string): Identified {
    const hash = sha256.toString('hex')
    const stored = this.#take(hash, (row) => row.uidl === uidl) ?? this.#take(hash, () => true)
    if (stored) return { key: stored, known: true }
    const key = uidl === '' ? this.#nextByBytes(hash) : this.#nextOf(uidl)
    this.#seen.add(ledgerKey(key))
    return { key, known: false }
  }

  /** A message that has a UIDL now: the row it had when it had none. */
  takeNameless(sha256: Buffer): LedgerKey | undefined {
    return this.#take(sha256.toString('hex'), hadNoUidl)
  }

  /** A message too large to be received, by the hash of its headers. */
  identifyHead(sha256: Buffer): LedgerKey {
    const key = { uidl: BY_HEADERS + sha256.toString('hex'), ordinal: 1 }
    this.#seen.add(ledgerKey(key))
    return key
  }

  #take(hash: string, fits: (row: LedgerKey) => boolean): LedgerKey | undefined {
    const row = this.#rows.get(hash)?.find((one) => !this.#seen.has(ledgerKey(one)) && fits(one))
    if (row) this.#seen.add(ledgerKey(row))
    return row
  }

  #nextByBytes(hash: string): LedgerKey {
    const uidl = BY_BYTES + hash
    let ordinal = 1
    while (this.#seen.has(ledgerKey({ uidl, ordinal }))) ordinal += 1
    return { uidl, ordinal }
  }

  #nextOf(uidl: string): LedgerKey {
    const free = this.#free.get(uidl)?.shift()
    if (free) return free
    const ordinal = Math.max(1, this.#highest.get(uidl) ?? 0) + 1
    this.#highest.set(uidl, ordinal)
    return { uidl, ordinal }
  }
}

function put(groups: Map<string, LedgerKey[]>, name: string, key: LedgerKey): void {
  const group = groups.get(name)
  if (group) group.push(key)
  else groups.set(name, [key])
}
