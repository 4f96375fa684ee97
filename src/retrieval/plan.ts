// Compares a maildrop's listing with the ledger and decides what this session does. Pure.

import { ledgerKey, type LedgerEntry, type LedgerKey } from '../db/maildrops.ts'

export interface Listed {
  /** Message number, valid in this session only (RFC 1939 section 5). */
  readonly number: number
  readonly uidl: string
  readonly sizeBytes: number
}

export interface PlannedMessage extends LedgerKey {
  readonly number: number
  readonly sizeBytes: number
}

export interface Plan {
  /** Oldest first; what was skipped before comes last. */
  readonly retrieve: readonly PlannedMessage[]
  readonly remove: readonly PlannedMessage[]
  /** We had meant to delete these, and the server does not list them any more. */
  readonly gone: readonly LedgerKey[]
  /** Caps left something for another session. */
  readonly more: boolean
}

export interface Caps {
  readonly messages: number
  readonly bytes: number
}

export function plan(listing: readonly Listed[], ledger: ReadonlyMap<string, LedgerEntry>, caps: Caps): Plan {
  const wanted: PlannedMessage[] = []
  const again: PlannedMessage[] = []
  const remove: PlannedMessage[] = []
  const listed = new Set<string>()
  const equals = new Map<string, number>()
  for (const { number, uidl, sizeBytes } of listing.toSorted((a, b) => a.number - b.number)) {
    const ordinal = (equals.get(uidl) ?? 0) + 1
    equals.set(uidl, ordinal)
    const key = ledgerKey({ uidl, ordinal })
    listed.add(key)
    const entry = ledger.get(key)
    const message = { number, uidl, ordinal, sizeBytes }
    if (entry?.deletable) remove.push(message)
    if (!entry) wanted.push(message)
    else if (entry.retry) again.push(message)
  }
  // one that broke a session before must not stand before the others for ever
  const { retrieve, more } = capped([...wanted, ...again], caps)
  const gone: LedgerKey[] = []
  for (const [key, entry] of ledger) {
    if (entry.state !== 'delete_intent' || listed.has(key)) continue
    const blank = key.lastIndexOf(' ')
    gone.push({ uidl: key.slice(0, blank), ordinal: Number(key.slice(blank + 1)) })
  }
  return { retrieve, remove, gone, more }
}

function capped(wanted: readonly PlannedMessage[], caps: Caps): { retrieve: PlannedMessage[]; more: boolean } {
  const retrieve: PlannedMessage[] = []
  let bytes = 0
  for (const message of wanted) {
    // one message is always taken, however large, so that it cannot block the maildrop for ever
    if (retrieve.length > 0 && (retrieve.length >= caps.messages || bytes + message.sizeBytes > caps.bytes)) continue
    bytes += message.sizeBytes
    retrieve.push(message)
  }
  return { retrieve, more: retrieve.length < wanted.length }
}
