// Looks at the headers of messages before they are retrieved, where that may spare the retrieval: a message that has another UIDL
// now, or one older than the first poll is to fetch. TOP 0 costs a fraction of RETR.

import { DAY_MS, later } from '../base/clock.ts'
import type { Db } from '../db/database.ts'
import { underLease, type Lease } from '../db/lanes.ts'
import { leaveUidls } from '../db/ledger.ts'
import type { Maildrop } from '../db/maildrops.ts'
import { adoptUidls, findTwins, type Adoption, type Twin } from '../db/renumbering.ts'
import { summarise } from '../message/summary.ts'
import type { PopSession } from '../pop3/session.ts'
import { fingerprintOf } from './guard.ts'
import type { PlannedMessage } from './plan.ts'

const SLICE = 500
const OLDER = 'older than what the first poll was to fetch (first_sync)'

export interface Glimpse {
  readonly message: PlannedMessage
  readonly fingerprint: Buffer | null
  readonly dateAt: Date | null
}

/** Headers of messages; those that the server does not show are missing. Throws Failure where the session ends. */
export async function glimpse(session: PopSession, messages: readonly PlannedMessage[]): Promise<Glimpse[]> {
  const byNumber = new Map(messages.map((message) => [message.number, message]))
  const seen: Glimpse[] = []
  for await (const top of session.tops([...byNumber.keys()], 0)) {
    const message = byNumber.get(top.number)
    if (!message || 'failure' in top) continue
    const summary = summarise(top.head)
    seen.push({ message, fingerprint: fingerprintOf(summary), dateAt: summary.dateAt })
  }
  return seen
}

/** Older messages were not wanted when the account was set up; null: all are wanted. */
export function cutoffOf({ policy, firstSyncDoneAt }: Maildrop, now: Date): Date | null {
  const begun = firstSyncDoneAt ?? now
  if (policy.firstSync === 'all') return null
  return policy.firstSync === 'from_now' ? begun : later(begun, -(policy.firstSyncDays ?? 0) * DAY_MS)
}

export interface Screened {
  readonly retrieve: PlannedMessage[]
  readonly adopted: number
  readonly left: number
}

/**
 * Compares headers with vanished messages and with the cut-off date, and writes down what is known or not wanted. What cannot be
 * looked at is retrieved: unknown means wanted.
 */
export async function screen(
  ctx: { readonly db: Db },
  session: PopSession,
  lease: Lease,
  messages: readonly PlannedMessage[],
  wanted: { readonly twins: boolean; readonly cutoff: Date | null },
): Promise<Screened> {
  const result: Screened & { adopted: number; left: number } = { retrieve: [], adopted: 0, left: 0 }
  for (let at = 0; at < messages.length; at += SLICE) {
    const slice = messages.slice(at, at + SLICE)
    const glimpses = await glimpse(session, slice)
    const known = new Map(glimpses.map((one) => [one.message.number, one]))
    const fingerprints = wanted.twins ? glimpses.flatMap(({ fingerprint }) => fingerprint ?? []) : []
    const twins = groupTwins(await findTwins(ctx.db, lease.accountId, fingerprints))
    const adoptions: Adoption[] = []
    const leave: { uidl: string; ordinal: number; fingerprint?: Buffer }[] = []
    for (const message of slice) {
      const { fingerprint, dateAt } = known.get(message.number) ?? { fingerprint: null, dateAt: null }
      const twin = fingerprint && takeTwin(twins.get(fingerprint.toString('hex')), message.sizeBytes)
      if (twin) adoptions.push({ from: twin, to: message })
      else if (wanted.cutoff !== null && dateAt !== null && dateAt < wanted.cutoff)
        leave.push({ uidl: message.uidl, ordinal: message.ordinal, ...(fingerprint && { fingerprint }) })
      else result.retrieve.push(message)
    }
    if (adoptions.length + leave.length === 0) continue
    await underLease(ctx.db, lease, async (tx, accountId) => {
      await adoptUidls(tx, accountId, adoptions)
      await leaveUidls(tx, accountId, leave, OLDER)
    })
    result.adopted += adoptions.length
    result.left += leave.length
  }
  return result
}

function groupTwins(twins: readonly Twin[]): Map<string, Twin[]> {
  const groups = new Map<string, Twin[]>()
  for (const twin of twins) {
    const group = groups.get(twin.fingerprint)
    if (group) group.push(twin)
    else groups.set(twin.fingerprint, [twin])
  }
  return groups
}

/** Each vanished message can be only one of those listed now; one of the same size is the likelier. */
function takeTwin(twins: Twin[] | undefined, sizeBytes: number): Twin | undefined {
  if (!twins) return undefined
  const sameSize = twins.findIndex((twin) => twin.sizeBytes === sizeBytes)
  return twins.splice(Math.max(0, sameSize), 1)[0]
}
