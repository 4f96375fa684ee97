// The kinds of job: which queue and lane each belongs to, how many run at once in a process, how long one may take, and what it
// does under the lane's lease. An expected mail failure is an outcome and completes the job.

import { MINUTE_MS } from '../base/clock.ts'
import { refreshUnderLease } from '../credentials/refresh.ts'
import type { Lease } from '../db/lanes.ts'
import type { LaneKind } from '../db/schema.ts'
import type { SendContext } from '../delivery/connect.ts'
import { drainLane } from '../delivery/drain-lane.ts'
import type { ParsePool } from '../message/parse-pool.ts'
import { parseLane } from '../retrieval/parse-lane.ts'
import { pollMaildrop, type PollContext } from '../retrieval/poll-maildrop.ts'
import type { QueueName } from './queues.ts'

export interface LaneContext extends PollContext, SendContext {
  readonly parsePool: ParsePool
}

export interface LaneJobKind {
  readonly queue: QueueName
  readonly lane: LaneKind
  readonly concurrency: number
  /** After that the session is broken off; what it committed stays. */
  readonly deadlineMs: number
  /** Returns one line for the queue's own display. */
  run(ctx: LaneContext, lease: Lease, signal: AbortSignal): Promise<string>
}

const refreshToken: LaneJobKind = {
  queue: 'token-refresh',
  lane: 'token',
  concurrency: 8,
  deadlineMs: 2 * MINUTE_MS,
  run: async (ctx, lease) => {
    await refreshUnderLease(ctx, lease)
    return 'done'
  },
}

const POLLS_AT_ONCE = 32
/** Of these, sessions with one host. */
export const POLLS_PER_HOST = 24

const pollMaildropJob: LaneJobKind = {
  queue: 'maildrop-poll',
  lane: 'receive',
  concurrency: POLLS_AT_ONCE,
  deadlineMs: 15 * MINUTE_MS,
  run: async (ctx, lease, signal) => {
    const { stored, skipped, deleted, failure, waitsForHost } = await pollMaildrop(ctx, lease, signal)
    if (waitsForHost) return 'waits for its host'
    return failure ? failure.flag : `stored ${stored}, skipped ${skipped}, deleted ${deleted}`
  },
}

const DRAINS_AT_ONCE = 16
/** Of these, turns with one host. */
export const SENDS_PER_HOST = 12

const drainOutbox: LaneJobKind = {
  queue: 'outbox-drain',
  lane: 'send',
  concurrency: DRAINS_AT_ONCE,
  deadlineMs: 15 * MINUTE_MS,
  run: async (ctx, lease, signal) => {
    const { attempted, failure, waitsForHost } = await drainLane(ctx, lease, signal)
    if (waitsForHost) return 'waits for its host'
    return failure ? failure.flag : `attempted ${attempted}`
  },
}

const parseMessages: LaneJobKind = {
  queue: 'message-parse',
  lane: 'parse',
  concurrency: 4,
  deadlineMs: 2 * MINUTE_MS,
  run: async (ctx, lease, signal) => {
    const { parsed, quarantined } = await parseLane(ctx, lease, signal)
    return `parsed ${parsed}, quarantined ${quarantined}`
  },
}

export const LANE_JOBS: readonly LaneJobKind[] = [refreshToken, pollMaildropJob, drainOutbox, parseMessages]
