// Compares a maildrop's listing with the ledger and decides what this session does. Pure.

import { ledgerKey, parseLedgerKey, type Ledger, type LedgerKey, type LedgerMark } from '../db/ledger.ts'

/** A listed message that is not simply known. */
export interface Candidate extends LedgerKey {
  /** Message number, valid in this session only (RFC 1939 section 5). */
  readonly number: number
  /** undefined: it was never listed before, or was thought gone. */
  readonly mark: LedgerMark | undefined
}

/** Numbers and UIDLs in the order of the server's lines; no object for each of a hundred thousand. */
export interface Named {
  readonly length: number
  numberAt(index: number): number
  uidlAt(index: number): string
}

export interface Comparison {
  /** To be retrieved, or at least looked at, in the order of the listing. */
  readonly wanted: readonly Candidate[]
  /** The server's copy may go. */
  readonly remove: readonly Candidate[]
  /**
   * Listed under a UIDL that several messages have or had: their places in the group move when one of them leaves, so that only their
   * bytes say which is which.
   */
  readonly shared: readonly Candidate[]
  /** On the server as far as we knew, and not listed any more. */
  readonly gone: readonly LedgerKey[]
}

/** `named` in the order of the server's lines: equal UIDLs are counted in that order. */
export function compareListing(named: Named, ledger: Ledger): Comparison {
  const { marks, shared } = ledger
  const wanted: Candidate[] = []
  const remove: Candidate[] = []
  const listed = new Set<string>()
  const several = new Set(shared)
  let known = 0
  for (let i = 0; i < named.length; i += 1) {
    const uidl = named.uidlAt(i)
    const seen = listed.size
    if (listed.add(uidl).size === seen) several.add(uidl)
    if (several.size > 0 && several.has(uidl)) continue
    const mark = marks.get(uidl)
    if (mark !== undefined) known += 1
    if (mark === 'known' || mark === 'intended') continue
    const candidate = { number: named.numberAt(i), uidl, ordinal: 1, mark }
    if (mark === 'deletable' || mark === 'doomed') remove.push(candidate)
    else wanted.push(candidate)
  }
  if (several.size === 0 && known === marks.size) return { wanted, remove, shared: [], gone: [] }
  return withShared({ wanted, remove, named, listed, several }, marks)
}

/** The rest of the comparison where several messages have one UIDL, or something has gone. */
function withShared(
  found: {
    wanted: Candidate[]
    remove: Candidate[]
    named: Named
    listed: Set<string>
    several: ReadonlySet<string>
  },
  marks: Ledger['marks'],
): Comparison {
  const { listed, several } = found
  const isSingle = ({ uidl }: Candidate): boolean => !several.has(uidl)
  const shared: Candidate[] = []
  const counts = new Map<string, number>()
  if (several.size > 0)
    for (let i = 0; i < found.named.length; i += 1) {
      const uidl = found.named.uidlAt(i)
      if (!several.has(uidl)) continue
      const ordinal = (counts.get(uidl) ?? 0) + 1
      counts.set(uidl, ordinal)
      const key = ledgerKey({ uidl, ordinal })
      listed.add(key)
      shared.push({ number: found.named.numberAt(i), uidl, ordinal, mark: marks.get(key) })
    }
  const gone: LedgerKey[] = []
  for (const key of marks.keys()) if (!listed.has(key)) gone.push(parseLedgerKey(key))
  return { wanted: found.wanted.filter(isSingle), remove: found.remove.filter(isSingle), shared, gone }
}

export interface PlannedMessage extends LedgerKey {
  readonly number: number
  /** As announced; 0 where the scan listing does not name it. */
  readonly sizeBytes: number
  /** The ledger has its headers, from when it was larger than the account allowed. */
  readonly replacesHeaders?: boolean
  /** Others have the same UIDL: which one it is, its bytes say. */
  readonly shared?: boolean
}

export interface Division {
  /** What came since the last listing, then what waits from before, oldest first; what failed before comes last. */
  readonly retrieve: readonly PlannedMessage[]
  /** Larger than the account allows, and not even its headers are here. */
  readonly oversize: readonly PlannedMessage[]
}

export function divide(
  wanted: readonly Candidate[],
  sizes: ReadonlyMap<number, number>,
  maxMessageBytes: number,
): Division {
  const fresh: PlannedMessage[] = []
  const backlog: PlannedMessage[] = []
  const again: PlannedMessage[] = []
  const oversize: PlannedMessage[] = []
  for (const { number, uidl, ordinal, mark } of wanted.toSorted((a, b) => a.number - b.number)) {
    const message = { number, uidl, ordinal, sizeBytes: sizes.get(number) ?? 0 }
    const tooLarge = message.sizeBytes > maxMessageBytes
    if (mark === 'oversize') {
      if (!tooLarge) again.push({ ...message, replacesHeaders: true })
    } else if (tooLarge) oversize.push(message)
    else if (mark === undefined) fresh.push(message)
    else if (mark === 'listed') backlog.push(message)
    // one that broke a session before must not stand before the others for ever
    else again.push(message)
  }
  return { retrieve: [...fresh, ...backlog, ...again], oversize }
}

export interface Caps {
  readonly messages: number
  readonly bytes: number
}

export interface Capped {
  readonly now: readonly PlannedMessage[]
  /** Something was left for another session. */
  readonly more: boolean
}

export function capped(wanted: readonly PlannedMessage[], caps: Caps): Capped {
  const now: PlannedMessage[] = []
  let bytes = 0
  for (const message of wanted) {
    // one message is always taken, however large, so that it cannot block the maildrop for ever
    if (now.length > 0 && (now.length >= caps.messages || bytes + message.sizeBytes > caps.bytes)) continue
    bytes += message.sizeBytes
    now.push(message)
  }
  return { now, more: now.length < wanted.length }
}
