// Sends what is due in one send lane, under its lease, and settles the lane: health, and when it has something to do again.

import { later, SECOND_MS } from '../base/clock.ts'
import type { Failure } from '../base/failure.ts'
import { loadAccount } from '../db/accounts.ts'
import { hasNotes } from '../db/health.ts'
import { releaseLane, ringSendBell, underLease, type Lease } from '../db/lanes.ts'
import { nextDueAt, recoverOrphans, waitingForFlags } from '../db/outbound.ts'
import { isRefusedLogin } from '../failures/refused-login.ts'
import { recordFailure, recordNotes, recordOk } from '../health/record.ts'
import type { SendContext } from './connect.ts'
import { LaneTurn } from './lane-turn.ts'
import { OF_THE_SENDER } from './outcome.ts'
import { EVIDENCE_WAIT_MS } from './redelivery.ts'

export interface DrainResult {
  readonly attempted: number
  readonly failure?: Failure
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
  const repeatAt = later(ctx.clock.now(), EVIDENCE_WAIT_MS)
  const orphans = await recoverOrphans(ctx.db, lease, { policy: account.uncertainPolicy, repeatAt })
  if (orphans.uncertain + orphans.returned > 0)
    ctx.log.warn({ account: account.email, ...orphans }, 'messages of a lost worker recovered')
  const turn = new LaneTurn(ctx, lease, account, account.smtp, signal)
  const failure = await turn.run()
  await settle(ctx, lease, turn, failure)
  return failure ? { attempted: turn.attempted, failure } : { attempted: turn.attempted }
}

async function settle(ctx: SendContext, lease: Lease, turn: LaneTurn, failure: Failure | undefined): Promise<void> {
  const now = ctx.clock.now()
  await underLease(ctx.db, lease, async (tx, accountId) => {
    if (turn.succeeded) await recordOk(tx, accountId, 'send', now)
    // a refusal by the token endpoint was recorded when it came
    if (failure && failure.stage !== 'token') {
      await recordFailure(tx, accountId, 'send', failure, { atLogin: isRefusedLogin(failure), now })
    }
    if (turn.concerned || (await hasNotes(tx, accountId, 'send'))) {
      await recordNotes(tx, accountId, 'send', await waitingForFlags(tx, accountId, OF_THE_SENDER))
    }
    const dueAt = await nextDueAt(tx, accountId)
    const rest = later(now, TOKEN_REST_MS)
    await releaseLane(tx, lease, failure?.stage === 'token' && dueAt && dueAt < rest ? rest : dueAt)
    // what came while the lane was being settled
    if (!failure && dueAt && dueAt <= now) await ringSendBell(tx, accountId)
  })
}
