// What one turn of a lane may send and over how many connections, as the governor says; and what it learns on its way.

import type { Failure } from '../base/failure.ts'
import type { Tx } from '../db/database.ts'
import { isOutdated, underLease, type LaneRest, type Lease } from '../db/lanes.ts'
import {
  dueMessages,
  expireMessages,
  openAttempts,
  putOffSlow,
  recipientsLeft,
  type ClaimedMessage,
} from '../db/outbound.ts'
import { loadSlowDestinations } from '../db/slow-destinations.ts'
import { later, SECOND_MS } from '../base/clock.ts'
import type { SendContext } from './connect.ts'
import { costOf, fitting, type Counts } from './governor.ts'
import { openRecipients, type AttemptResult } from './outcome.ts'
import { chargeBudget, learnBudget, recordDestinations, refundBudget, reserveBudget } from './pacing.ts'
import { destinationOutcome, type DestinationOutcome } from './slow-destination.ts'
import { isThrottling } from './throttling.ts'

/** Asked for less where there is nothing left to do with less: it is asked again after that. */
const BREATH_MS = 30 * SECOND_MS
/** Of what is due, where some of it has to be put off. */
const LOOKED_AT = 500
const PUT_OFF_AT_ONCE = 5_000
/** The operator has switched the limit off. */
const CONNECTIONS = 20

export class TurnPace {
  /** The refusal that began a pause. */
  pausedBy: Failure | undefined
  mostConnections = 1
  recipientsPerMessage = Infinity
  readonly #ctx: SendContext
  readonly #lease: Lease
  readonly #accountEmail: string
  #rest: LaneRest | null = null
  #breath: LaneRest | null = null
  #unspent: Counts = { messages: 0, recipients: 0, external: 0 }
  #destinations: { domain: string; outcome: DestinationOutcome }[] = []

  constructor(ctx: SendContext, lease: Lease, accountEmail: string) {
    this.#ctx = ctx
    this.#lease = lease
    this.#accountEmail = accountEmail
  }

  /** Why no more may go before a certain time. */
  get rest(): LaneRest | null {
    return this.#rest ?? this.#breath
  }

  /** Claims at most so many messages, most urgent first, and no more than the budget admits. */
  async claim(most: number): Promise<ClaimedMessage[]> {
    return await underLease(this.#ctx.db, this.#lease, async (tx, accountId) => {
      const now = this.#ctx.clock.now()
      await this.#flushDestinations(tx, accountId, now)
      if (await isOutdated(tx, this.#lease)) return []
      await expireMessages(tx, accountId)
      const due = await this.#due(tx, accountId, most, now)
      const reservation = await reserveBudget(tx, accountId, {
        wanted: due.length,
        workerId: this.#ctx.workerId,
        now,
      })
      if (!reservation) return []
      const { grant } = reservation
      this.mostConnections = Math.min(CONNECTIONS, grant.connections)
      this.recipientsPerMessage = grant.recipientsPerMessage
      this.#rest = grant.rest
      let admitted = due.slice(0, grant.messages)
      if (admitted.length > 0 && Math.min(grant.recipients, grant.external) < Infinity) {
        const left = await recipientsLeft(tx, admitted)
        const offered = left.map((recipients) => this.#costOf({ recipients }))
        const fits = fitting(grant, offered)
        if (fits < admitted.length) this.#rest = grant.dayRest
        admitted = admitted.slice(0, fits)
      }
      if (admitted.length === 0) return []
      const claimed = await openAttempts(tx, admitted)
      await chargeBudget(tx, reservation, this.#costs(claimed), now)
      return claimed
    })
  }

  /** Due messages, without those that go only to destinations that are to be left in peace. */
  async #due(tx: Tx, accountId: number, most: number, now: Date): Promise<number[]> {
    const slow = await loadSlowDestinations(tx, accountId, now)
    if (slow.size === 0) return await dueMessages(tx, accountId, most)
    for (let looked = 0; looked < PUT_OFF_AT_ONCE; looked += LOOKED_AT) {
      const due = await dueMessages(tx, accountId, Math.max(most, LOOKED_AT))
      const putOff = await putOffSlow(tx, due, slow)
      if (putOff.size < due.length || due.length === 0) return due.filter((id) => !putOff.has(id)).slice(0, most)
    }
    // the lane is held by this transaction: the next turn goes on
    return []
  }

  /** What one attempt says of the pace. Returns true where the line that made it must not go on. */
  async notice(message: ClaimedMessage, result: AttemptResult, givenBack: boolean): Promise<boolean> {
    if (givenBack) this.giveBack([message])
    if (result.kind === 'refused') return await this.learn(result.failure)
    if (result.kind !== 'replied') return false
    for (const { address, accepted, failure } of result.recipients) {
      const outcome = destinationOutcome(accepted, failure)
      if (outcome) this.#destinations.push({ domain: address.slice(address.lastIndexOf('@') + 1), outcome })
    }
    const acceptedRecipients = result.recipients.filter(({ accepted }) => accepted).length
    const throttled = result.recipients.find(({ failure }) => failure?.flag === 'recipient_limit_exceeded')
    if (throttled?.failure && acceptedRecipients > 0) await this.learn(throttled.failure, { acceptedRecipients })
    const slowed = result.recipients.find(({ failure }) => failure && isThrottling(failure))?.failure
    return slowed ? await this.learn(slowed) : false
  }

  /** Slows down where the failure asks for it. Returns true where the line that heard it must not go on. */
  async learn(failure: Failure, about: { acceptedRecipients?: number } = {}): Promise<boolean> {
    if (!isThrottling(failure) && about.acceptedRecipients === undefined) return false
    const now = this.#ctx.clock.now()
    const lesson = await underLease(this.#ctx.db, this.#lease, (tx, id) => learnBudget(tx, id, failure, now, about))
    if (!lesson || !isThrottling(failure)) return false
    if (lesson.pausedUntil) {
      this.pausedBy = failure
      this.#rest = { until: lesson.pausedUntil, for: 'pause' }
    }
    return true
  }

  /** Nobody is left who may send: the lane takes breath, unless it rests anyway. */
  takeBreath(): void {
    this.#breath = { until: later(this.#ctx.clock.now(), BREATH_MS), for: 'pause' }
  }

  /** Claimed, and then not sent. */
  giveBack(messages: readonly ClaimedMessage[]): void {
    this.#unspent = sum([this.#unspent, this.#costs(messages)])
  }

  /** In the transaction that settles the lane. */
  async settle(tx: Tx, accountId: number, now: Date): Promise<void> {
    await this.#flushDestinations(tx, accountId, now)
    await refundBudget(tx, accountId, this.#unspent, now)
  }

  async #flushDestinations(tx: Tx, accountId: number, now: Date): Promise<void> {
    await recordDestinations(tx, accountId, this.#destinations, now)
    this.#destinations = []
  }

  /** Of the next transaction. */
  #costOf(message: Pick<ClaimedMessage, 'recipients'>): Counts {
    return costOf(this.#accountEmail, openRecipients(message).slice(0, this.recipientsPerMessage))
  }

  #costs(messages: readonly ClaimedMessage[]): Counts {
    return sum(messages.map((message) => this.#costOf(message)))
  }
}

const sum = (counts: readonly Counts[]): Counts =>
  counts.reduce(
    (all, one) => ({
      messages: all.messages + one.messages,
      recipients: all.recipients + one.recipients,
      external: all.external + one.external,
    }),
    { messages: 0, recipients: 0, external: 0 },
  )
