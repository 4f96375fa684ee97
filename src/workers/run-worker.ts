// Runs the jobs of one kind: claim the lane, work under a deadline, and whatever happens leave the lane in a state that heals.

import { setTimeout as pause } from 'node:timers/promises'
import { DIRECTIONS, errorText, Failure, isStopping, LeaseLost, UserError } from '../base/failure.ts'
import { later, SECOND_MS } from '../base/clock.ts'
import { claimLane, forgetDispatch, holdLease, releaseLane, type Lease } from '../db/lanes.ts'
import type { Tx } from '../db/database.ts'
import { flagEntryOf } from '../failures/catalogue.ts'
import { maskSecrets } from '../failures/mask.ts'
import { recordFailure } from '../health/record.ts'
import type { LaneContext, LaneJobKind } from '../jobs/lane-jobs.ts'
import type { LaneWorker, QueueFactory } from '../jobs/queues.ts'
import { SecretUnreadable } from '../secrets/vault.ts'

/** After a fault of our own (the database, a bug) the lane rests that long. */
const OWN_FAULT_REST_MS = 30 * SECOND_MS
const GIVE_BACK_AGAIN_MS = SECOND_MS

export interface RunningWorker {
  readonly kind: LaneJobKind
  readonly worker: LaneWorker
  /** When a job of this worker last ended, by performance.now(). */
  readonly progress: { lastEndedAt: number; active: number }
}

/** `stopping` is aborted with a Stopping when the service shuts down. */
export function runWorker(
  ctx: LaneContext,
  queues: QueueFactory,
  kind: LaneJobKind,
  stopping: AbortSignal,
): RunningWorker {
  const progress = { lastEndedAt: performance.now(), active: 0 }
  const worker = queues.worker(
    kind.queue,
    async (job) => {
      progress.active += 1
      try {
        const lane = { accountId: job.data.accountId, lane: kind.lane }
        if (stopping.aborted) {
          await forgetDispatch(ctx.db, lane)
          return 'the service is stopping'
        }
        const lease = await claimLane(ctx.db, lane, ctx.workerId)
        return lease ? await runUnderLease(ctx, kind, lease, stopping) : 'not due'
      } finally {
        progress.active -= 1
        progress.lastEndedAt = performance.now()
      }
    },
    { concurrency: kind.concurrency },
  )
  return { kind, worker, progress }
}

export async function runUnderLease(
  ctx: LaneContext,
  kind: LaneJobKind,
  lease: Lease,
  stopping: AbortSignal,
): Promise<string> {
  const signal = AbortSignal.any([stopping, AbortSignal.timeout(kind.deadlineMs)])
  try {
    return await kind.run(ctx, lease, signal)
  } catch (error) {
    if (error instanceof LeaseLost) {
      ctx.log.warn({ account_id: lease.accountId, lane: lease.lane }, error.message)
      return 'lease lost'
    }
    if (!isStopping(stopping))
      ctx.log.error({ err: error, account_id: lease.accountId, lane: lease.lane }, 'job failed by a fault of our own')
    await giveBack(ctx, lease, error, stopping)
    throw error
  }
}

/**
 * A database that cuts the work off may cut this off as well. A lease that is not given back would be renewed with the others for
 * as long as the process lives, and its lane would lie still: so it is tried until it is done, the lease is lost, or the service stops.
 */
async function giveBack(ctx: LaneContext, lease: Lease, error: unknown, stopping: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await settleOwnFault(ctx, lease, error, isStopping(stopping))
    } catch (failed) {
      if (failed instanceof LeaseLost) return
      if (attempt === 1) {
        ctx.log.warn(
          { account_id: lease.accountId, lane: lease.lane },
          `the lease could not be given back: ${errorText(failed)}`,
        )
      }
      // the service is stopping: one more try, because its connections may have been cut one by one
      if (stopping.aborted && attempt > 1) return
      await pause(GIVE_BACK_AGAIN_MS, undefined, { signal: stopping }).catch(() => undefined)
    }
  }
}

/** What we could not do shows at the account like any other trouble: nothing may fail in silence for ever. */
async function settleOwnFault(ctx: LaneContext, lease: Lease, error: unknown, stopping: boolean): Promise<void> {
  const { accountId, lane } = lease
  const now = ctx.clock.now()
  const rest = later(now, OWN_FAULT_REST_MS)
  await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    if (!stopping && error instanceof SecretUnreadable)
      return await releaseLane(tx, lease, await recordUnreadable(tx, lease, error, now))
    if (stopping || lane === 'token' || lane === 'parse') return await releaseLane(tx, lease, rest)
    const flag = error instanceof UserError ? 'unclassified' : 'storage_failure'
    const failure = new Failure(
      { flag, scope: 'service', persistence: 'transient', blocks: [lane] },
      {
        stage: lane === 'send' ? 'smtp' : 'pop3',
        step: 'own',
        evidence: maskSecrets(errorText(error)).slice(0, 1_000),
      },
    )
    const parkedUntil = await recordFailure(tx, accountId, lane, failure, { atLogin: false, now })
    await releaseLane(tx, lease, parkedUntil ?? rest)
  })
}

/** Somebody has to give the key back, or the credential again: until then the account is not tried at full pace. */
async function recordUnreadable(
  tx: Tx,
  { accountId, lane }: Lease,
  error: SecretUnreadable,
  now: Date,
): Promise<Date | null> {
  const { flag, scope, persistence } = flagEntryOf('key_unavailable')
  let parkedUntil: Date | null = null
  for (const direction of DIRECTIONS) {
    if (lane !== 'token' && lane !== direction) continue
    const failure = new Failure(
      { flag, scope, persistence, blocks: [direction] },
      { stage: direction === 'send' ? 'smtp' : 'pop3', step: 'own', evidence: error.message },
    )
    parkedUntil = await recordFailure(tx, accountId, direction, failure, { atLogin: false, now })
  }
  return parkedUntil
}
