// Notes on mailboxes that have fallen silent, opened and cleared by what came in, and mail to ourselves where that is asked for.
// Nothing is blocked by them.

import { HOUR_MS, MINUTE_MS } from '../base/clock.ts'
import { endSilence, readArrivals, silentAccounts, type ArrivalRow } from '../db/arrivals.ts'
import type { Db, Tx } from '../db/database.ts'
import { raiseFlag, SILENCE_STAGE } from '../db/health.ts'
import { alone } from '../db/incidents.ts'
import { dueCanaries, latestCanaries, startRoundTrip, type RoundTrip } from '../db/round-trips.ts'
import { flagEntryOf } from '../failures/catalogue.ts'
import { roundTripMessage } from '../message/round-trip.ts'
import { silenceOf, silenceText } from './silence.ts'

const FLAG = 'mailbox_silent'

/** Returns how many mailboxes are silent; undefined where another process is at it. */
export async function watchSilence(db: Db, now?: Date): Promise<number | undefined> {
  return await alone(db, async (tx, databaseNow) => {
    const at = now ?? databaseNow
    const silent = await noteSilence(tx, at)
    for (const account of await dueCanaries(tx, at))
      await startRoundTrip(tx, account, roundTripMessage(account.email, at))
    return silent
  })
}

async function noteSilence(tx: Tx, now: Date): Promise<number> {
  const { scope, persistence } = flagEntryOf(FLAG)
  const [before, canaries, arrivals] = [await silentAccounts(tx), await latestCanaries(tx), await readArrivals(tx, now)]
  const silent = new Set<number>()
  for (const row of arrivals) {
    const evidence = evidenceOf(row, canaries.get(row.accountId), now)
    if (evidence === undefined) continue
    silent.add(row.accountId)
    await raiseFlag(tx, row.accountId, 'receive', { flag: FLAG, scope, persistence, stage: SILENCE_STAGE, evidence })
  }
  await endSilence(
    tx,
    [...before].filter((id) => !silent.has(id)),
  )
  return silent.size
}

/** A message that was handed over is usually there within a minute. */
const CANARY_MS = HOUR_MS

/** What is known for certain goes before what the operator expects, and that before what was usual. */
function evidenceOf(
  { lastAt, freshnessMinutes, hours }: ArrivalRow,
  canary: RoundTrip | undefined,
  now: Date,
): string | undefined {
  const minute = (at: Date): string => `${at.toISOString().slice(0, 16)}Z`
  if (canary?.handedOverAt && !canary.arrivedAt && now.getTime() - canary.handedOverAt.getTime() > CANARY_MS)
    return `connected, yet mail from this mailbox to itself, handed over ${minute(canary.handedOverAt)}, has not arrived`
  const silentMs = now.getTime() - lastAt.getTime()
  if (freshnessMinutes !== null)
    return silentMs > freshnessMinutes * MINUTE_MS
      ? silenceText({ expectedMs: freshnessMinutes * MINUTE_MS, silentMs }, lastAt)
      : undefined
  const silence = silenceOf({ weekly: new Map(hours.map(({ hour, counts }) => [hour, counts])), lastAt }, now)
  return silence && silenceText(silence, lastAt)
}
