// What the server lists: UIDLs, and the sizes of those that matter. STAT, LIST and UIDL of some servers disagree: what only one of
// them names is looked for all the same.

import { Failure } from '../base/failure.ts'
import type { UidlEntry } from '../pop3/listing.ts'
import type { PopSession } from '../pop3/session.ts'

export interface Scan {
  /** In the order of the server's lines. */
  readonly named: Iterable<UidlEntry>
  readonly namedCount: number
  /** Numbers of messages that have no usable UIDL. */
  readonly nameless: readonly number[]
  /** The server has no UIDL at all. */
  readonly noUidl: boolean
  readonly lastUidl: string | null
  /** Of the whole UIDL reply; null where there was none. */
  readonly digest: Buffer | null
}

const EMPTY: Scan = { named: [], namedCount: 0, nameless: [], noUidl: false, lastUidl: null, digest: null }

export async function list(session: PopSession, stat: { count: number }): Promise<Scan> {
  if (stat.count === 0) return EMPTY
  try {
    const uidls = await session.uidls()
    const { length } = uidls
    const nameless = length >= stat.count && uidls.malformed === 0 ? [] : await namelessOf(session, uidls)
    return {
      named: uidls,
      namedCount: length,
      nameless,
      noUidl: false,
      lastUidl: lastOf(uidls),
      digest: nameless.length === 0 ? uidls.digest : null,
    }
  } catch (error) {
    if (!(error instanceof Failure) || error.step !== 'uidl' || session.ended) throw error
    // refused, and the session goes on: there is no UIDL here
    const nameless = [...(await session.sizes()).keys()].toSorted((a, b) => a - b)
    return { ...EMPTY, nameless, noUidl: true }
  }
}

/** Messages of the scan listing that the UIDL reply does not name. */
async function namelessOf(session: PopSession, named: Iterable<UidlEntry>): Promise<number[]> {
  const rest = new Set((await session.sizes()).keys())
  for (const { number } of named) rest.delete(number)
  return [...rest].toSorted((a, b) => a - b)
}

/** The UIDL of the highest message number. */
function lastOf(named: Iterable<UidlEntry>): string | null {
  let last: UidlEntry | undefined
  for (const entry of named) if (!last || entry.number > last.number) last = entry
  return last?.uidl ?? null
}
