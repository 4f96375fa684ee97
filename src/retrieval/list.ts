// What the server lists: UIDLs, and the sizes of those that matter. STAT, LIST and UIDL of some servers disagree: what only one of
// them names is looked for all the same.

import { Failure } from '../base/failure.ts'
import { BY_BYTES, BY_HEADERS } from '../db/ledger.ts'
import type { UidlListing } from '../pop3/listing.ts'
import type { PopSession } from '../pop3/session.ts'
import type { Named } from './plan.ts'

export interface Scan {
  readonly named: Named
  /** Messages that have no usable UIDL: number and announced size. */
  readonly nameless: ReadonlyMap<number, number>
  /** The server has no UIDL at all. */
  readonly noUidl: boolean
  readonly lastUidl: string | null
  /** Of the whole UIDL reply; null where there was none. */
  readonly digest: Buffer | null
}

/** So many messages are asked for although no list names them. */
const MOST_UNLISTED = 1_000

const NOBODY: Named = { length: 0, numberAt: () => 0, uidlAt: () => '' }
const EMPTY: Scan = { named: NOBODY, nameless: new Map(), noUidl: false, lastUidl: null, digest: null }

export async function list(session: PopSession, stat: { count: number }): Promise<Scan> {
  if (stat.count === 0) return EMPTY
  try {
    const uidls = await session.uidls()
    const named = withoutOurs(uidls)
    const { length } = named
    const nameless =
      length >= stat.count && length === uidls.length && uidls.malformed === 0
        ? EMPTY.nameless
        : await namelessOf(session, named, stat.count)
    return {
      named,
      nameless,
      noUidl: false,
      lastUidl: lastOf(uidls),
      digest: nameless.size === 0 ? uidls.digest : null,
    }
  } catch (error) {
    if (!(error instanceof Failure) || error.step !== 'uidl' || session.ended) throw error
    // refused, and the session goes on: there is no UIDL here
    return { ...EMPTY, nameless: await namelessOf(session, NOBODY, stat.count), noUidl: true }
  }
}

/** A UIDL that looks like the names we give ourselves would be taken for one of them: such a message has no name. */
function withoutOurs(uidls: UidlListing): Named {
  if (!OURS.some((prefix) => uidls.mentions(prefix))) return uidls
  const kept = [...uidls].filter(({ uidl }) => !OURS.some((prefix) => uidl.startsWith(prefix)))
  return {
    length: kept.length,
    numberAt: (index) => kept[index]?.number ?? 0,
    uidlAt: (index) => kept[index]?.uidl ?? '',
  }
}

const OURS = [BY_BYTES, BY_HEADERS]

/** Messages of the scan listing, and of the maildrop by its count, that the UIDL reply does not name. */
async function namelessOf(session: PopSession, named: Named, count: number): Promise<Map<number, number>> {
  const sizes = await session.sizes()
  const rest = new Map(sizes)
  // what neither list can be read of is there all the same
  for (let number = 1; number <= Math.min(count, MOST_UNLISTED); number += 1) if (!rest.has(number)) rest.set(number, 0)
  for (let i = 0; i < named.length; i += 1) rest.delete(named.numberAt(i))
  return rest
}

/** The UIDL of the highest message number. */
function lastOf(uidls: Named): string | null {
  let last = 0
  for (let i = 1; i < uidls.length; i += 1) if (uidls.numberAt(i) > uidls.numberAt(last)) last = i
  return uidls.length === 0 ? null : uidls.uidlAt(last)
}
