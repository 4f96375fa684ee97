// Deletion on the server. DELE, then QUIT; nothing counts as deleted before QUIT was answered +OK (RFC 1939 section 6). Before
// DELE, what is stored here is read back and hashed, and its size is compared with what the server lists now: a damaged copy keeps
// its original, and a UIDL that came to another message deletes nothing.

import { underLease } from '../db/lanes.ts'
import { intactUidls, intendDelete, ledgerKey, markDeleted, type LedgerKey } from '../db/ledger.ts'
import type { SessionContext } from './session-context.ts'

/** Of one session; more are left for the next. */
const AT_ONCE = 1_000

export interface Removable extends LedgerKey {
  readonly number: number
}

export interface Removal {
  readonly deleted: number
  /** Stored, but not what was received. */
  readonly damaged: readonly LedgerKey[]
  /** To be deleted in another session. */
  readonly left: number
}

/** Ends the session in any case. */
export async function removeFromServer(s: SessionContext, messages: readonly Removable[]): Promise<Removal> {
  const { ctx, session, lease } = s
  const now = messages.slice(0, AT_ONCE)
  if (now.length === 0) {
    await session.quit()
    return { deleted: 0, damaged: [], left: 0 }
  }
  const intact = await intactUidls(ctx.db, lease.accountId, now)
  const sizes = await session.sizesOf(now.map(({ number }) => number))
  const isOurs = (message: Removable): boolean => {
    const stored = intact.get(ledgerKey(message))
    const listed = sizes.get(message.number) ?? 0
    return stored !== undefined && (listed === 0 || stored.includes(0) || stored.includes(listed))
  }
  const going = now.filter(isOurs)
  const damaged = now.filter((message) => !isOurs(message))
  const rest = { damaged, left: messages.length - now.length }
  if (going.length === 0) {
    await session.quit()
    return { deleted: 0, ...rest }
  }
  const byNumber = new Map(going.map((message) => [message.number, message]))
  await underLease(s.ctx.db, s.lease, (tx, accountId) => intendDelete(tx, accountId, going))
  const { deleted } = await session.dele([...byNumber.keys()])
  const confirmed = await session.quit()
  const unsure = going.length - deleted.length
  if (!confirmed) return { deleted: 0, damaged, left: rest.left + going.length }
  const keys = deleted.flatMap((number) => byNumber.get(number) ?? [])
  await markDeleted(ctx.db, lease.accountId, keys)
  return { deleted: keys.length, damaged, left: rest.left + unsure }
}
