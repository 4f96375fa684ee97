// Writes an outcome into the health of a lane: state, flags, history, parking. Runs inside the transaction that settles the
// work, so that what happened and what it means become visible together. The caller has locked the account's lanes before, by
// holdLease or lockLanes: one order for everybody, lanes before health.

import type { Direction, Failure } from '../base/failure.ts'
import type { Tx } from '../db/database.ts'
import {
  addHealthEvent,
  clearFlags,
  clearNotes,
  NOTE_STAGE,
  SILENCE_STAGE,
  lockHealth,
  openFlagCount,
  raiseFlag,
  saveHealth,
} from '../db/health.ts'
import { parkLane, wakeNow } from '../db/lanes.ts'
import { flagEntryOf } from '../failures/catalogue.ts'
import { isPassing, transition } from './transition.ts'

/** A session did its work. What the token endpoint has refused meanwhile is not over with that. */
export async function recordOk(tx: Tx, accountId: number, direction: Direction, now: Date): Promise<void> {
  const before = await lockHealth(tx, accountId, direction)
  if (!before) return // the account was deleted meanwhile
  const cleared = await clearFlags(tx, accountId, direction, { exceptStages: ['token', NOTE_STAGE, SILENCE_STAGE] })
  if ((await openFlagCount(tx, accountId, direction)) > 0) {
    return await saveHealth(tx, accountId, direction, { ...before, lastOkAt: now })
  }
  const { health } = transition(before, { kind: 'ok' }, now, 0)
  await saveHealth(tx, accountId, direction, health)
  await parkLane(tx, { accountId, lane: direction }, null)
  if (before.state !== 'ok' || cleared.length > 0) {
    await addHealthEvent(tx, {
      accountId,
      direction,
      from: before.state,
      to: 'ok',
      ...(cleared.length > 0 && { flag: cleared.join(' ') }),
    })
  }
}

/**
 * Raises the failure's flag and parks the lane. `atLogin`: a login was refused, which counts towards the breaker. `gotOn`: part of
 * the work was done before, so that the waits do not grow.
 * Returns until when the lane is parked.
 */
export async function recordFailure(
  tx: Tx,
  accountId: number,
  direction: Direction,
  failure: Failure,
  options: { atLogin: boolean; gotOn?: boolean; now: Date; random?: number },
): Promise<Date | null> {
  const before = await lockHealth(tx, accountId, direction)
  if (!before) return null
  const { verdict, stage, evidence } = failure
  const { health, parkedUntil } = transition(
    options.gotOn ? { ...before, failures: 0 } : before,
    { kind: 'failed', verdict, atLogin: options.atLogin },
    options.now,
    options.random ?? Math.random(),
  )
  await saveHealth(tx, accountId, direction, health)
  await parkLane(tx, { accountId, lane: direction }, parkedUntil)
  const opened = await raiseFlag(tx, accountId, direction, { ...verdict, stage, evidence })
  // another answer to the same step: the cause has changed
  if (!isPassing(verdict)) await clearFlags(tx, accountId, direction, { stage, except: verdict.flag })
  if (opened || health.state !== before.state) {
    await addHealthEvent(tx, {
      accountId,
      direction,
      from: before.state,
      to: health.state,
      flag: verdict.flag,
      evidence,
    })
  }
  return parkedUntil
}

/** Raises a flag although the lane works on: what was refused is not needed yet. */
export async function recordWarning(tx: Tx, accountId: number, direction: Direction, failure: Failure): Promise<void> {
  const before = await lockHealth(tx, accountId, direction)
  if (!before) return
  const { verdict, stage, evidence } = failure
  if (await raiseFlag(tx, accountId, direction, { ...verdict, stage, evidence }))
    await addHealthEvent(tx, {
      accountId,
      direction,
      from: before.state,
      to: before.state,
      flag: verdict.flag,
      evidence,
    })
}

/** A token was issued: whatever only the token endpoint had refused is over, and lanes parked for it may go on at once. */
export async function recordTokenOk(tx: Tx, accountId: number, now: Date): Promise<void> {
  for (const direction of ['receive', 'send'] as const) {
    const cleared = await clearFlags(tx, accountId, direction, { stage: 'token' })
    if (cleared.length === 0 || (await openFlagCount(tx, accountId, direction)) > 0) continue
    const before = await lockHealth(tx, accountId, direction)
    if (!before) continue
    const to = before.lastOkAt ? 'ok' : 'new'
    await saveHealth(tx, accountId, direction, {
      ...before,
      state: to,
      since: now,
      failures: 0,
      firstFailureAt: null,
      probes: 0,
    })
    await addHealthEvent(tx, { accountId, direction, from: before.state, to, flag: cleared.join(' ') })
    await wakeNow(tx, accountId, [direction])
  }
}

export interface Note {
  readonly flag: string
  readonly evidence: string
}

/** What the operator should know although nothing is blocked: exactly these notes are open for the lane afterwards. */
export async function recordNotes(
  tx: Tx,
  accountId: number,
  direction: Direction,
  notes: readonly Note[],
): Promise<void> {
  await clearNotes(
    tx,
    accountId,
    direction,
    notes.map((note) => note.flag),
  )
  for (const { flag, evidence } of notes) {
    const { scope, persistence } = flagEntryOf(flag)
    await raiseFlag(tx, accountId, direction, { flag, scope, persistence, stage: NOTE_STAGE, evidence })
  }
}
