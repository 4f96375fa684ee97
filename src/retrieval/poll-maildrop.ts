// One session with one maildrop, under the lease of its receive lane: log in, compare, retrieve, delete by policy, settle.
// Points of no return: the commit of a batch (only then may its messages be deleted) and QUIT (only its +OK deletes).

import { jitter } from '../base/backoff.ts'
import { HOUR_MS, later, MINUTE_MS, SECOND_MS } from '../base/clock.ts'
import { Failure, isStopping } from '../base/failure.ts'
import { openLoggedIn } from '../credentials/log-in.ts'
import type { CredentialContext } from '../credentials/refresh.ts'
import { loadAccount } from '../db/accounts.ts'
import type { Database } from '../db/database.ts'
import { holdLease, releaseLane, type Lease } from '../db/lanes.ts'
import {
  intendDelete,
  loadLedger,
  loadMaildrop,
  markDeleted,
  savePoll,
  type Listing,
  type Maildrop,
} from '../db/maildrops.ts'
import { recordFailure, recordOk } from '../health/record.ts'
import { PopSession } from '../pop3/session.ts'
import { plan, type Caps, type Listed, type PlannedMessage } from './plan.ts'
import { MessageStore, type StoreCounts } from './store-messages.ts'

export interface PollContext extends CredentialContext {
  readonly database: Database
}

export interface PollResult extends StoreCounts {
  readonly deleted: number
  /** The session was capped: the maildrop holds more. */
  readonly more: boolean
  readonly failure?: Failure
}

/** One session takes at most this much; a maildrop with more is polled again at once, behind the others. */
const CAPS: Caps = { messages: 5_000, bytes: 500 * 1024 * 1024 }

const LIST_AT_LEAST_MS = HOUR_MS
/** After that a session ends in good order, with QUIT, and goes on in the next. */
const TURN_MS = 10 * MINUTE_MS

/** Never throws for what a provider does: a refusal is settled as an outcome and reported in the result. */
export async function pollMaildrop(ctx: PollContext, lease: Lease, signal: AbortSignal): Promise<PollResult> {
  const account = await loadAccount(ctx.db, lease.accountId)
  const maildrop = await loadMaildrop(ctx.db, lease.accountId)
  if (!account?.pop3 || !maildrop) {
    await releaseLane(ctx.db, lease, null)
    return { stored: 0, skipped: 0, deleted: 0, more: false }
  }
  const store = new MessageStore(ctx.database, lease)
  try {
    const target = { ...account.pop3, provider: account.provider }
    const session = await openLoggedIn(ctx, account, account.pop3, () => PopSession.open(ctx.net, target, { signal }))
    try {
      const done = await work(ctx, session, lease, maildrop, store, signal)
      await settleOk(ctx, lease, maildrop, done)
      ctx.log.debug({ account: account.email, ...store.counts, deleted: done.deleted }, 'maildrop polled')
      return { ...store.counts, deleted: done.deleted, more: done.more }
    } finally {
      session.close()
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    await store.finish() // what was received whole stays received
    if (isStopping(signal)) {
      await releaseLane(ctx.db, lease, ctx.clock.now())
      return { ...store.counts, deleted: 0, more: true }
    }
    await settleFailed(ctx, lease, error)
    ctx.log.warn(
      { account: account.email, flag: error.flag, step: error.step, evidence: error.evidence },
      'poll failed',
    )
    return { ...store.counts, deleted: 0, more: false, failure: error }
  }
}

interface Done {
  readonly loginDelaySeconds: number
  readonly deleted: number
  readonly more: boolean
  readonly listing: Listing | undefined
}

async function work(
  ctx: PollContext,
  session: PopSession,
  lease: Lease,
  maildrop: Maildrop,
  store: MessageStore,
  signal: AbortSignal,
): Promise<Done> {
  const stat = await session.stat()
  const now = ctx.clock.now()
  if (await looksUnchanged(session, maildrop, stat, now)) {
    await session.quit()
    // capabilities are not asked for where nothing is retrieved
    const { loginDelaySeconds, listing } = maildrop
    return { loginDelaySeconds, deleted: 0, more: false, listing }
  }
  const loginDelaySeconds = Number((await session.capabilities()).get('LOGIN-DELAY')?.[0]) || 0
  const listed = stat.count === 0 ? [] : await list(session)
  const planned = plan(listed, await loadLedger(ctx.db, lease.accountId), CAPS)
  const stopped = await retrieve(session, planned.retrieve, store, signal)
  const remove = [...planned.remove, ...(maildrop.deleteAfterDays === 0 ? storedNow(planned.retrieve, store) : [])]
  const deleted = await removeFromServer(ctx, session, lease, remove)
  await markDeleted(ctx.db, lease.accountId, planned.gone)
  const more = planned.more || stopped
  const complete = !more && remove.length === 0 && store.counts.skipped === 0
  const lastUidl = listed.toSorted((a, b) => a.number - b.number).at(-1)?.uidl ?? null
  const listing = complete ? { listedAt: now, ...stat, lastUidl } : undefined
  return { loginDelaySeconds, deleted, more, listing }
}

/** Number, size and newest UIDL are as they were: then a listing of thousands would tell nothing. Hourly it is asked for anyway. */
async function looksUnchanged(
  session: PopSession,
  { listing, pending }: Maildrop,
  stat: { count: number; sizeBytes: number },
  now: Date,
): Promise<boolean> {
  if (!listing || pending || now.getTime() - listing.listedAt.getTime() > LIST_AT_LEAST_MS) return false
  if (stat.count !== listing.count || stat.sizeBytes !== listing.sizeBytes) return false
  return stat.count === 0 || (await session.uidlOf(stat.count)) === listing.lastUidl
}

async function list(session: PopSession): Promise<Listed[]> {
  const uidls = [...(await session.uidls())]
  const sizes = await session.sizesOf(uidls.map(({ number }) => number))
  return uidls.flatMap(({ number, uidl }) => {
    const sizeBytes = sizes.get(number)
    return sizeBytes === undefined ? [] : { number, uidl, sizeBytes } // only what both lists name is there
  })
}

/** Returns whether it had to stop before the end of the list. */
async function retrieve(
  session: PopSession,
  wanted: readonly PlannedMessage[],
  store: MessageStore,
  signal: AbortSignal,
): Promise<boolean> {
  const waiting = new Map(wanted.map((message) => [message.number, message]))
  const end = performance.now() + TURN_MS
  let refusal: Failure | undefined
  try {
    for await (const message of session.retrieve([...waiting.keys()], (number) => waiting.get(number)?.sizeBytes)) {
      const planned = waiting.get(message.number)
      if (!planned) continue
      if ('failure' in message) {
        refusal = message.failure
        await store.skip(planned, refusal.evidence)
      } else await store.add(planned, message.chunks)
      waiting.delete(message.number)
      if (performance.now() > end) break
    }
  } catch (error) {
    // the one that was being read may be what breaks the session: next time the others come first
    const [broke] = waiting.values()
    if (broke && error instanceof Failure && !isStopping(signal)) await store.skip(broke, error.evidence)
    throw error
  }
  await store.finish()
  // where every single message was refused, it is not the messages' fault
  if (refusal && wanted.length > 1 && store.counts.stored === 0) throw refusal
  return waiting.size > 0
}

function storedNow(retrieved: readonly PlannedMessage[], store: MessageStore): PlannedMessage[] {
  const stored = new Set(store.storedKeys.map((key) => `${key.uidl} ${key.ordinal}`))
  return retrieved.filter((message) => stored.has(`${message.uidl} ${message.ordinal}`))
}

/** DELE, then QUIT; nothing counts as deleted before QUIT was answered +OK (RFC 1939 section 6). */
async function removeFromServer(
  ctx: PollContext,
  session: PopSession,
  lease: Lease,
  messages: readonly PlannedMessage[],
): Promise<number> {
  if (messages.length === 0) {
    await session.quit()
    return 0
  }
  const byNumber = new Map(messages.map((message) => [message.number, message]))
  await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    await intendDelete(tx, lease.accountId, messages)
  })
  const { deleted } = await session.dele([...byNumber.keys()])
  if (!(await session.quit())) return 0
  const keys = deleted.flatMap((number) => byNumber.get(number) ?? [])
  await markDeleted(ctx.db, lease.accountId, keys)
  return keys.length
}

async function settleOk(ctx: PollContext, lease: Lease, maildrop: Maildrop, done: Done): Promise<void> {
  const now = ctx.clock.now()
  const intervalMs = Math.max(maildrop.pollIntervalSeconds, done.loginDelaySeconds) * SECOND_MS
  await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    await savePoll(tx, lease.accountId, done)
    await recordOk(tx, lease.accountId, 'receive', now)
    // never before the interval: a provider may enforce its LOGIN-DELAY
    await releaseLane(tx, lease, done.more ? now : later(now, jitter(intervalMs * 1.06, 0.05, Math.random())))
  })
}

async function settleFailed(ctx: PollContext, lease: Lease, failure: Failure): Promise<void> {
  const now = ctx.clock.now()
  await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    // a refusal by the token endpoint was recorded when it came; here it only ends the session
    const parkedUntil =
      failure.stage === 'token'
        ? null
        : await recordFailure(tx, lease.accountId, 'receive', failure, { atLogin: failure.step === 'auth', now })
    await releaseLane(tx, lease, parkedUntil ?? later(now, 60 * SECOND_MS))
  })
}
