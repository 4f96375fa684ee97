// Sends what is due in one send lane, under its lease, and settles the lane: health, and when it has something to do again.

import { later, SECOND_MS } from '../base/clock.ts'
import type { Failure } from '../base/failure.ts'
import { loadAccount } from '../db/accounts.ts'
import { keepConnection } from '../db/budgets.ts'
import { hasNotes } from '../db/health.ts'
import { hasHostTrouble, hostKey, type HostSide } from '../db/host-breakers.ts'
import { releaseLane, ringSendBell, underLease, type Lease } from '../db/lanes.ts'
import { nextDue, recoverOrphans, waitingForFlags } from '../db/outbound.ts'
import { isRefusedLogin } from '../failures/refused-login.ts'
import { recordHostFailure, recordHostSuccess } from '../health/host-breaker.ts'
import { enterHost } from '../health/host-entry.ts'
import { recordFailure, recordNotes, recordOk } from '../health/record.ts'
import type { SendContext } from './connect.ts'
import { KEEP_MS } from './kept-connections.ts'
import { LaneTurn } from './lane-turn.ts'
import { OF_THE_SENDER } from './outcome.ts'

export interface DrainResult {
  readonly attempted: number
  readonly failure?: Failure
  /** The host's breaker is open, or it has as many sessions as it may: nobody was asked. */
  readonly waitsForHost?: boolean
}

/** Without a token nothing can be sent; the token's own lane says when it may be asked for again. */
const TOKEN_REST_MS = 60 * SECOND_MS

/** Never throws for what a provider does: a refusal is settled as an outcome and reported in the result. */
export async function drainLane(ctx: SendContext, lease: Lease, signal: AbortSignal): Promise<DrainResult> {
  const account = await loadAccount(ctx.db, lease.accountId)
  if (!account?.smtp) {
    await releaseLane(ctx.db, lease, null)
    return { attempted: 0 }
  }
  // a database that was restored holds its mail before any of it can be claimed
  await ctx.fence.pass()
  const orphans = await recoverOrphans(ctx.db, lease)
  if (orphans.uncertain + orphans.returned > 0)
    ctx.log.warn({ account: account.email, ...orphans }, 'messages of a lost worker recovered')
  const side: HostSide = { host: hostKey(account.smtp), direction: 'send' }
  const hostTrouble = await hasHostTrouble(ctx.db, side, account.id)
  const entry = await enterHost(ctx.db, side, account.id, {
    slots: ctx.sendSlots,
    atBreaker: hostTrouble,
    now: ctx.clock.now(),
  })
  if (!entry.entered) {
    await releaseLane(ctx.db, lease, ctx.clock.now(), { until: entry.until, for: 'host' })
    return { attempted: 0, waitsForHost: true }
  }
  try {
    const turn = new LaneTurn(ctx, lease, account, account.smtp, signal)
    const failure = await turn.run()
    await settle(ctx, lease, turn, { failure, side, hostTrouble })
    const told = failure ?? turn.pace.pausedBy
    return told ? { attempted: turn.attempted, failure: told } : { attempted: turn.attempted }
  } finally {
    entry.leave()
  }
}

async function settle(
  ctx: SendContext,
  lease: Lease,
  turn: LaneTurn,
  { failure, side, hostTrouble }: { failure: Failure | undefined; side: HostSide; hostTrouble: boolean },
): Promise<void> {
  const now = ctx.clock.now()
  const { pace } = turn
  await underLease(ctx.db, lease, async (tx, accountId) => {
    await pace.settle(tx, accountId, now)
    if (turn.kept) await keepConnection(tx, accountId, ctx.workerId, later(now, KEEP_MS))
    if (turn.succeeded) await recordOk(tx, accountId, 'send', now)
    if (turn.succeeded && hostTrouble) await recordHostSuccess(tx, side, accountId)
    // a refusal by the token endpoint was recorded when it came
    if (failure && failure.stage !== 'token') {
      await recordFailure(tx, accountId, 'send', failure, { atLogin: isRefusedLogin(failure), now })
      await recordHostFailure(tx, side, accountId, failure, now)
    }
    if (turn.concerned || pace.pausedBy || (await hasNotes(tx, accountId, 'send'))) {
      const notes = await waitingForFlags(tx, accountId, OF_THE_SENDER)
      if (pace.pausedBy) notes.push({ flag: pace.pausedBy.flag, evidence: pace.pausedBy.evidence })
      await recordNotes(tx, accountId, 'send', notes)
    }
    const due = await nextDue(tx, accountId)
    const rest = later(now, TOKEN_REST_MS)
    await releaseLane(tx, lease, failure?.stage === 'token' && due.at && due.at < rest ? rest : due.at, pace.rest)
    // what came while the lane was being settled
    if (!failure && !pace.rest && due.now) await ringSendBell(tx, accountId)
  })
}
