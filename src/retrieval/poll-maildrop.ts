// One poll of one maildrop, under the lease of its receive lane: pass the host's breaker, log in, do the session's work, settle.
// Points of no return: the commit of a batch (only then may its messages be deleted) and QUIT (only its +OK deletes).

import { later, SECOND_MS } from '../base/clock.ts'
import { Failure, isStopping } from '../base/failure.ts'
import { openLoggedIn } from '../credentials/log-in.ts'
import type { CredentialContext } from '../credentials/context.ts'
import type { Account } from '../db/accounts.ts'
import type { Database } from '../db/database.ts'
import { hostKey, type HostSide } from '../db/host-breakers.ts'
import { holdLease, releaseLane, type Lease } from '../db/lanes.ts'
import { notePollFailed, savePoll, settleQuietPoll, type Maildrop } from '../db/maildrops.ts'
import { loadReceiving } from '../db/receiving.ts'
import { isOwnRefusal } from '../failures/own-refusal.ts'
import { isRefusedLogin } from '../failures/refused-login.ts'
import { recordHostFailure, recordHostSuccess } from '../health/host-breaker.ts'
import { enterHost } from '../health/host-entry.ts'
import { recordFailure, recordNotes, recordOk } from '../health/record.ts'
import type { HostSlots } from '../net/host-slots.ts'
import { pollFloorMs } from '../oauth/provider-presets.ts'
import { PopSession } from '../pop3/session.ts'
import { nextPoll } from './interval.ts'
import { notesOf } from './notes.ts'
import type { Received } from './session-context.ts'
import { receive } from './session-work.ts'
import { MessageStore, type StoreCounts } from './store-messages.ts'

export interface PollContext extends CredentialContext {
  readonly database: Database
  /** Of a process that polls many maildrops at once. */
  readonly hostSlots?: HostSlots
}

export interface PollResult extends StoreCounts {
  readonly deleted: number
  /** The session was capped: the maildrop holds more. */
  readonly more: boolean
  readonly failure?: Failure
  /** The host's breaker is open, or it has as many sessions as it may: nobody was asked. */
  readonly waitsForHost?: boolean
}

export interface PollOptions {
  /** The operator asked for it: the host's breaker does not stop it. */
  readonly forced?: boolean
}

const NOTHING: PollResult = { stored: 0, skipped: 0, suppressed: 0, deleted: 0, more: false }

/** Never throws for what a provider does: a refusal is settled as an outcome and reported in the result. */
export async function pollMaildrop(
  ctx: PollContext,
  lease: Lease,
  signal: AbortSignal,
  options: PollOptions = {},
): Promise<PollResult> {
  const known = await loadReceiving(ctx.database, lease.accountId)
  if (!known?.account.pop3) {
    await releaseLane(ctx.db, lease, null)
    return NOTHING
  }
  const { account, maildrop, grant } = known
  const { pop3 } = known.account
  const host: HostSide = { host: hostKey(pop3), direction: 'receive' }
  const entry = await enterHost(ctx.db, host, account.id, {
    slots: ctx.hostSlots,
    atBreaker: maildrop.hostTrouble && !options.forced,
    now: ctx.clock.now(),
  })
  if (!entry.entered) {
    await releaseLane(ctx.db, lease, entry.until)
    return { ...NOTHING, waitsForHost: true }
  }
  const store = new MessageStore(ctx.database, lease, maildrop.policy)
  try {
    const target = { ...pop3, provider: account.provider }
    const open = () => PopSession.open(ctx.net, target, { signal })
    const session = await openLoggedIn(ctx, account, pop3, open, grant)
    try {
      const done = await receive({ ctx, session, lease, maildrop, store, signal, now: ctx.clock.now() })
      await settleOk(ctx, lease, { account, maildrop, host }, store, done)
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
      return { ...NOTHING, ...store.counts, more: true }
    }
    if (ctx.command && isOwnRefusal(error)) await releaseLane(ctx.db, lease, ctx.clock.now())
    else await settleFailed(ctx, lease, { account, maildrop, host }, store, error)
    ctx.log.warn(
      { account: account.email, flag: error.flag, step: error.step, evidence: error.evidence },
      'poll failed',
    )
    return { ...NOTHING, ...store.counts, failure: error }
  } finally {
    entry.leave()
  }
}

interface Polled {
  readonly account: Account
  readonly maildrop: Maildrop
  readonly host: HostSide
}

const floorSeconds = ({ pop3 }: Account, loginDelaySeconds: number): number =>
  Math.max(loginDelaySeconds, pollFloorMs(pop3?.host) / SECOND_MS)

const triedToLogIn = ({ stage, step }: Failure): boolean =>
  stage === 'pop3' && !['connect', 'tls', 'greeting'].includes(step)

async function settleOk(
  ctx: PollContext,
  lease: Lease,
  { account, maildrop, host }: Polled,
  store: MessageStore,
  done: Received,
): Promise<void> {
  const now = ctx.clock.now()
  const busy = store.counts.stored > 0
  const next = nextPoll(
    maildrop.policy,
    maildrop.currentIntervalSeconds,
    floorSeconds(account, done.loginDelaySeconds),
    { busy, more: done.more || (done.slices && busy) },
    now,
    Math.random(),
  )
  if (done.quiet && !maildrop.hostTrouble) {
    const settled = await settleQuietPoll(ctx.db, lease, { now, nextAt: next.at, currentSeconds: next.currentSeconds })
    if (settled) return
  }
  await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    await savePoll(tx, lease.accountId, { ...done, currentIntervalSeconds: next.currentSeconds }, busy)
    await recordOk(tx, lease.accountId, 'receive', now)
    if (!done.quiet) await recordNotes(tx, lease.accountId, 'receive', await notesOf(tx, lease.accountId, done))
    if (maildrop.hostTrouble) await recordHostSuccess(tx, host, lease.accountId)
    await releaseLane(tx, lease, next.at)
  })
}

async function settleFailed(
  ctx: PollContext,
  lease: Lease,
  { account, maildrop, host }: Polled,
  store: MessageStore,
  failure: Failure,
): Promise<void> {
  const now = ctx.clock.now()
  // a server that breaks off after every message is emptied all the same, as fast as it may be asked
  const gotOn = store.counts.stored > 0
  // the pause that the server asks for is meant from login to login, however the session ended
  const soonest = later(now, floorSeconds(account, maildrop.loginDelaySeconds) * SECOND_MS)
  await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    await notePollFailed(tx, lease.accountId)
    // a refusal by the token endpoint was recorded when it came; here it only ends the session
    const parkedUntil =
      failure.stage === 'token'
        ? null
        : await recordFailure(tx, lease.accountId, 'receive', failure, { atLogin: isRefusedLogin(failure), gotOn, now })
    if (failure.stage === 'pop3') await recordHostFailure(tx, host, lease.accountId, failure, now)
    const again = parkedUntil ?? later(now, 60 * SECOND_MS)
    await releaseLane(tx, lease, triedToLogIn(failure) && soonest > again ? soonest : again)
  })
}
