// The last step of a connection test, where it is asked for: a real message from the account to itself, carried by the service.

import { SECOND_MS } from '../base/clock.ts'
import type { CredentialContext } from '../credentials/context.ts'
import type { Account } from '../db/accounts.ts'
import { wakeNow } from '../db/lanes.ts'
import { loadRoundTrip, startRoundTrip, type RoundTrip } from '../db/round-trips.ts'
import { livingWorkers } from '../db/worker-session.ts'
import { roundTripMessage } from '../message/round-trip.ts'
import { report, type StepReport } from './probe-steps.ts'

const LOOK_MS = 500
const LONGEST_MS = 300 * SECOND_MS
/** The maildrop is polled this long after the message was handed over, besides as usual: each poll is a login. */
const POLLS_MS = [1, 15, 60, 150].map((seconds) => seconds * SECOND_MS)

export async function probeRoundTrip({ db, clock }: CredentialContext, account: Account): Promise<StepReport> {
  const workers = await livingWorkers(db)
  if (!workers.some(({ roles }) => roles.includes('worker')))
    return report('round_trip', null, 'skipped', { evidence: 'the service does not run' })
  const began = performance.now()
  const id = await db
    .transaction()
    .execute(async (tx) => await startRoundTrip(tx, account, roundTripMessage(account.email, clock.now())))
  let handedOver: number | undefined
  let polls = 0
  let trip: RoundTrip | undefined
  while (performance.now() - began < LONGEST_MS) {
    trip = await loadRoundTrip(db, id)
    const ms = performance.now() - began
    if (trip?.arrivedAt)
      return report('round_trip', null, 'ok', { ms, evidence: arrivedText(trip, handedOver ?? ms, ms) })
    if (trip && FINAL.has(trip.state)) return notSent(trip, ms)
    if (trip?.handedOverAt) {
      handedOver ??= ms
      const next = POLLS_MS[polls]
      if (next !== undefined && ms - handedOver >= next) {
        polls++
        await wakeNow(db, account.id, ['receive'], { keepParked: true })
      }
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
  const ms = performance.now() - began
  if (trip && !trip.handedOverAt) return notSent(trip, ms)
  return report('round_trip', null, 'failed', {
    ms,
    evidence: `message ${trip?.outboundId} was handed over, and has not arrived`,
    flag: 'mailbox_silent',
  })
}

const FINAL: ReadonlySet<string> = new Set(['failed', 'expired', 'bounced', 'cancelled', 'uncertain', 'held'])

const seconds = (ms: number): string => `${(ms / SECOND_MS).toFixed(1)} s`

const arrivedText = ({ outboundId }: RoundTrip, handedOverMs: number, ms: number): string =>
  `message ${outboundId} handed over after ${seconds(handedOverMs)}, arrived after ${seconds(ms)}`

const notSent = ({ outboundId, state, reply }: RoundTrip, ms: number): StepReport =>
  report('round_trip', null, 'failed', {
    ms,
    evidence: `message ${outboundId} is ${state}: ${reply ?? 'no reply yet'}`,
  })
