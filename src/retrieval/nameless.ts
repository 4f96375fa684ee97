// Which messages of a listing have no name of their own, and what they are compared with: those without a usable UIDL, and those
// that share one with others.

import type { Db } from '../db/database.ts'
import { hashedRows, ledgerKey, sharedRows, type Ledger, type LedgerKey, type SharedRow } from '../db/ledger.ts'
import type { Lease } from '../db/lanes.ts'
import { HashIdentity } from './hash-identity.ts'
import type { Scan } from './list.ts'
import type { Candidate, PlannedMessage } from './plan.ts'

export interface Nameless {
  /** To be retrieved, behind the others; `uidl` is what they share, '' for none. */
  readonly messages: readonly PlannedMessage[]
  readonly identity: HashIdentity
}

/** undefined: every message has a name. `shared` must have their rows in the ledger. */
export async function namelessOf(
  db: Db,
  lease: Lease,
  scan: Scan,
  shared: readonly Candidate[],
  ledger: Ledger,
  sizes: ReadonlyMap<number, number>,
  resumeAfter: number | null,
): Promise<Nameless | undefined> {
  if (scan.nameless.size === 0 && shared.length === 0 && !ledger.nameless) return undefined
  const rows = await sharedRows(db, lease.accountId, [...new Set(shared.map(({ uidl }) => uidl))])
  const wanted = shared.filter(isWanted(shared, rows))
  const named = namedKeys(scan, shared)
  const stored = (await hashedRows(db, lease.accountId)).filter((row) => !named.has(row.uidl))
  const free = rows.filter(({ use, ordinal }) => use === 'waiting' && ordinal > 0)
  const highest = new Map<string, number>()
  for (const { uidl, ordinal } of rows) highest.set(uidl, Math.max(ordinal, highest.get(uidl) ?? 0))
  const messages = [
    ...[...scan.nameless].map(([number, sizeBytes]): PlannedMessage => ({ number, uidl: '', ordinal: 1, sizeBytes })),
    ...wanted.map(({ number, uidl, ordinal }): PlannedMessage => ({
      number,
      uidl,
      ordinal,
      sizeBytes: sizes.get(number) ?? 0,
      shared: true,
    })),
  ]
  return { messages: rotated(messages, resumeAfter), identity: new HashIdentity(stored, free, highest) }
}

/** UIDLs of which one message was listed: their rows are nobody else's. */
function namedKeys(scan: Scan, shared: readonly LedgerKey[]): ReadonlySet<string> {
  const named = new Set<string>()
  for (let i = 0; i < scan.named.length; i += 1) named.add(scan.named.uidlAt(i))
  for (const { uidl } of shared) named.delete(uidl)
  return named
}

/** A group of which every message was left on the server for good stays there. */
function isWanted(shared: readonly Candidate[], rows: readonly SharedRow[]): (message: Candidate) => boolean {
  const counts = new Map<string, { listed: number; left: number; others: number }>()
  const of = (uidl: string) => {
    const found = counts.get(uidl) ?? { listed: 0, left: 0, others: 0 }
    counts.set(uidl, found)
    return found
  }
  for (const { uidl } of shared) of(uidl).listed += 1
  for (const { uidl, use } of rows) of(uidl)[use === 'left' ? 'left' : 'others'] += 1
  return ({ uidl }) => of(uidl).others > 0 || of(uidl).listed > of(uidl).left
}

/**
 * Begins behind the message at which the last session stopped, so that one that breaks its session does not stand before the others
 * for ever.
 */
function rotated(messages: readonly PlannedMessage[], after: number | null): PlannedMessage[] {
  const ordered = messages.toSorted((a, b) => a.number - b.number)
  const from = after === null ? -1 : ordered.findIndex(({ number }) => number > after)
  return from < 0 ? ordered : [...ordered.slice(from), ...ordered.slice(0, from)]
}

/** Ledger keys that only a session with all its messages received can declare gone. */
export const goneUnless = (gone: readonly LedgerKey[], seen: ReadonlySet<string>): LedgerKey[] =>
  gone.filter((key) => !seen.has(ledgerKey(key)))
