// Messages without a name of their own: the server has no UIDL, or several messages have the same one. They are known by their
// bytes. Equal messages are counted, so that a true twin is not taken for the one that is stored already.

import { BY_BYTES, BY_HEADERS, ledgerKey, type HashedRow, type LedgerKey } from '../db/ledger.ts'

const hadNoUidl = ({ uidl }: LedgerKey): boolean => uidl.startsWith(BY_BYTES) || uidl.startsWith(BY_HEADERS)

export interface Identified {
  readonly key: LedgerKey
  readonly known: boolean
  /** Only its headers were stored so far: they give way to the message. */
  readonly replacesHeaders?: boolean
}

export class HashIdentity {
  readonly #rows = new Map<string, LedgerKey[]>()
  /** The same by the hash of their headers: messages that were too large. */
  readonly #heads = new Map<string, LedgerKey[]>()
  readonly #seen = new Set<string>()
  /** Ordinals given to messages under a UIDL that several have. */
  readonly #highest: Map<string, number>
  /** Rows of such UIDLs of which nothing is stored yet. */
  readonly #free = new Map<string, LedgerKey[]>()

  /**
   * `stored`: rows whose message, or its headers, may be one of those without a name. `free`: rows that wait for a message under a shared UIDL.
   * `highest`: the highest ordinal of each shared UIDL.
   */
  constructor(stored: readonly HashedRow[], free: readonly LedgerKey[], highest: ReadonlyMap<string, number>) {
    for (const { hash, uidl, ordinal, headersOnly } of stored)
      put(headersOnly ? this.#heads : this.#rows, hash, { uidl, ordinal })
    for (const key of free) put(this.#free, key.uidl, key)
    this.#highest = new Map(highest)
  }

  /** Keys of everything that was met in this session. */
  get seen(): ReadonlySet<string> {
    return this.#seen
  }

  /**
   * The key of a message with these bytes, and whether it is stored already. `uidl`: what it shares with others; '' for none. `head`:
   * the hash of its headers.
   */
  identify(sha256: Buffer, uidl: string, head: Buffer): Identified {
    const stored = this.#takeLike(this.#rows, sha256, uidl)
    if (stored) return { key: stored, known: true }
    const cut = this.#takeLike(this.#heads, head, uidl)
    if (cut) return { key: cut, known: false, replacesHeaders: true }
    return { key: this.#next(uidl, BY_BYTES, sha256), known: false }
  }

  /** The same of a message too large to be received, by the hash of its headers. */
  identifyHead(head: Buffer, uidl: string): Identified {
    const stored = this.#takeLike(this.#heads, head, uidl)
    return { key: stored ?? this.#next(uidl, BY_HEADERS, head), known: stored !== undefined }
  }

  /** A message that has a UIDL now: the row it had when it had none. */
  takeNameless(sha256: Buffer): LedgerKey | undefined {
    return this.#take(this.#rows, sha256, hadNoUidl)
  }

  #takeLike(rows: ReadonlyMap<string, LedgerKey[]>, hash: Buffer, uidl: string): LedgerKey | undefined {
    return this.#take(rows, hash, (row) => row.uidl === uidl) ?? this.#take(rows, hash, () => true)
  }

  #take(
    rows: ReadonlyMap<string, LedgerKey[]>,
    hash: Buffer,
    fits: (row: LedgerKey) => boolean,
  ): LedgerKey | undefined {
    const row = rows.get(hash.toString('hex'))?.find((one) => !this.#seen.has(ledgerKey(one)) && fits(one))
    if (row) this.#seen.add(ledgerKey(row))
    return row
  }

  #next(uidl: string, by: string, hash: Buffer): LedgerKey {
    const key = uidl === '' ? this.#nextNameless(by + hash.toString('hex')) : this.#nextOf(uidl)
    this.#seen.add(ledgerKey(key))
    return key
  }

  #nextNameless(uidl: string): LedgerKey {
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
