// One poll at the operator's word: parked or not, due or not; only somebody else's living lease stops it.

import { LeaseLost, UserError } from '../base/failure.ts'
import { MINUTE_MS } from '../base/clock.ts'
import type { Account } from '../db/accounts.ts'
import { claimLane, releaseLane, wakeNow } from '../db/lanes.ts'
import { pollMaildrop, type PollContext, type PollResult } from './poll-maildrop.ts'

const DEADLINE_MS = 30 * MINUTE_MS

/** Throws UserError where the maildrop is being polled already, or the account has none. */
export async function pollNow(ctx: PollContext, account: Account): Promise<PollResult> {
  if (!account.pop3) throw new UserError(`account ${account.email} has no POP3 server`)
  const lease = await claimLane(ctx.db, { accountId: account.id, lane: 'receive' }, ctx.workerId, { force: true })
  if (!lease) throw new UserError(`the maildrop of ${account.email} is being polled right now; see "poststelle status"`)
  await wakeNow(ctx.db, account.id, ['token']) // a token that was refused may be asked for once more
  try {
    return await pollMaildrop({ ...ctx, command: true }, lease, AbortSignal.timeout(DEADLINE_MS), { forced: true })
  } catch (error) {
    if (!(error instanceof LeaseLost)) await releaseLane(ctx.db, lease, ctx.clock.now())
    throw error
  }
}
