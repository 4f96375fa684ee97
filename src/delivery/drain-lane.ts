// Sends what is due in one send lane, under its lease, over a connection that is reused. Point of no return: the final dot,
// committed as 'handing_over' before it leaves.

import { later, SECOND_MS } from '../base/clock.ts'
import { Failure, isStopping } from '../base/failure.ts'
import { openLoggedIn } from '../credentials/log-in.ts'
import type { CredentialContext } from '../credentials/refresh.ts'
import { loadAccount, type Account, type MailHost } from '../db/accounts.ts'
import { holdLease, releaseLane, type Lease } from '../db/lanes.ts'
import {
  claimMessages,
  markHandingOver,
  nextDueAt,
  readOutboundBody,
  recoverOrphans,
  settleAttempt,
  type ClaimedMessage,
} from '../db/outbound.ts'
import { isRefusedLogin } from '../failures/refused-login.ts'
import { recordFailure, recordOk } from '../health/record.ts'
import { AddressError } from '../smtp/envelope.ts'
import { Submission, UncertainOutcome } from '../smtp/submission.ts'
import { decide, returned, type AttemptResult } from './outcome.ts'
import { EVIDENCE_WAIT_MS } from './redelivery.ts'

export interface DrainResult {
  readonly attempted: number
  readonly failure?: Failure
}

const BATCH = 20
/** A lane with more to send gives the others their turn after that. */
const TURN_MS = 60 * SECOND_MS
/** Without a token nothing can be sent; the token's own lane says when it may be asked for again. */
const TOKEN_REST_MS = 60 * SECOND_MS

/** Never throws for what a provider does: a refusal is settled as an outcome and reported in the result. */
export async function drainLane(ctx: CredentialContext, lease: Lease, signal: AbortSignal): Promise<DrainResult> {
  const account = await loadAccount(ctx.db, lease.accountId)
  if (!account?.smtp) {
    await releaseLane(ctx.db, lease, null)
    return { attempted: 0 }
  }
  const repeatAt = later(ctx.clock.now(), EVIDENCE_WAIT_MS)
  const orphans = await recoverOrphans(ctx.db, lease, { policy: account.uncertainPolicy, repeatAt })
  if (orphans.uncertain + orphans.returned > 0)
    ctx.log.warn({ account: account.email, ...orphans }, 'messages of a lost worker recovered')
  const lane = new SendLane(ctx, lease, account, account.smtp, signal)
  try {
    const failure = await lane.drain()
    await settle(ctx, lease, lane.succeeded, failure)
    return failure ? { attempted: lane.attempted, failure } : { attempted: lane.attempted }
  } finally {
    await lane.close()
  }
}

async function settle(
  ctx: CredentialContext,
  lease: Lease,
  succeeded: boolean,
  failure: Failure | undefined,
): Promise<void> {
  const now = ctx.clock.now()
  await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    if (succeeded) await recordOk(tx, lease.accountId, 'send', now)
    // a refusal by the token endpoint was recorded when it came
    if (failure && failure.stage !== 'token') {
      await recordFailure(tx, lease.accountId, 'send', failure, { atLogin: isRefusedLogin(failure), now })
    }
    const dueAt = await nextDueAt(tx, lease.accountId)
    const rest = later(now, TOKEN_REST_MS)
    await releaseLane(tx, lease, failure?.stage === 'token' && dueAt && dueAt < rest ? rest : dueAt)
  })
}

class SendLane {
  attempted = 0
  /** The server took at least one message, or refused it for reasons of its own: the lane works. */
  succeeded = false
  readonly #ctx: CredentialContext
  readonly #lease: Lease
  readonly #account: Account
  readonly #host: MailHost
  readonly #signal: AbortSignal
  #connection: Submission | undefined
  #brokenInARow = 0

  constructor(ctx: CredentialContext, lease: Lease, account: Account, host: MailHost, signal: AbortSignal) {
    this.#ctx = ctx
    this.#lease = lease
    this.#account = account
    this.#host = host
    this.#signal = signal
  }

  /** Returns the fault that ended the lane's work, or undefined when nothing more is due or the turn is over. */
  async drain(): Promise<Failure | undefined> {
    const end = this.#ctx.clock.now().getTime() + TURN_MS
    while (!this.#signal.aborted && this.#ctx.clock.now().getTime() < end) {
      const batch = await claimMessages(this.#ctx.db, this.#lease, BATCH)
      if (batch.length === 0) return undefined
      for (const [i, message] of batch.entries()) {
        const failure = await this.#deliver(message)
        if (!failure && !this.#signal.aborted) continue
        for (const waiting of batch.slice(i + 1)) await this.#giveBack(waiting, failure)
        return failure
      }
    }
    return undefined
  }

  async close(): Promise<void> {
    await this.#connection?.quit()
    this.#connection = undefined
  }

  async #deliver(message: ClaimedMessage): Promise<Failure | undefined> {
    this.attempted += 1
    const result = await this.#attempt(message)
    const { settlement, laneFailure } = decide(message, result, {
      now: this.#ctx.clock.now(),
      random: Math.random(),
      policy: this.#account.uncertainPolicy,
      transcript: this.#connection?.transcript.join('\n') ?? '',
    })
    await settleAttempt(this.#ctx.db, message, settlement)
    if (!laneFailure && isAnswer(result)) this.succeeded = true
    this.#brokenInARow =
      result.kind === 'refused' && result.failure.verdict.scope === 'network' ? this.#brokenInARow + 1 : 0
    if (settlement.state !== 'sent') {
      const { state, step, reply, flag } = settlement
      this.#ctx.log.warn(
        { account: this.#account.email, message: message.id, state, step, flag, evidence: reply },
        'message not handed over',
      )
    }
    if (laneFailure || !this.#connection?.usable) this.#drop()
    // one message may break a connection by what it is; two in a row are broken by the connection
    if (!laneFailure && this.#brokenInARow >= 2 && result.kind === 'refused') return result.failure
    return laneFailure
  }

  async #giveBack(message: ClaimedMessage, failure: Failure | undefined): Promise<void> {
    const now = this.#ctx.clock.now()
    const settlement = returned(
      { now, transcript: '' },
      '',
      failure?.evidence ?? 'the service is stopping',
      failure?.flag ?? null,
    )
    await settleAttempt(this.#ctx.db, message, settlement)
  }

  async #attempt(message: ClaimedMessage): Promise<AttemptResult> {
    try {
      this.#connection ??= await this.#connect()
      const recipients = message.recipients
        .filter((r) => r.state === 'pending' || r.state === 'deferred')
        .map((r) => r.address)
      const handed = await this.#connection.send(
        { from: message.envelopeFrom, recipients },
        readOutboundBody(this.#ctx.db, message),
        { sizeBytes: message.sizeBytes, beforeFinalDot: () => markHandingOver(this.#ctx.db, this.#lease, message) },
      )
      return { kind: 'replied', reply: handed.reply, recipients: handed.recipients }
    } catch (error) {
      if (error instanceof UncertainOutcome) return { kind: 'unknown', step: error.phase, evidence: error.message }
      if (error instanceof Failure) {
        const brokenOff = isStopping(this.#signal) && ['network', 'service'].includes(error.verdict.scope)
        return brokenOff ? { kind: 'interrupted' } : { kind: 'refused', failure: error }
      }
      if (error instanceof AddressError) return { kind: 'refused', failure: malformed(error) }
      this.#drop()
      throw error
    }
  }

  async #connect(): Promise<Submission> {
    const domain = this.#account.email.split('@')[1] ?? ''
    const clientName = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(domain) ? domain : 'localhost'
    const target = { ...this.#host, provider: this.#account.provider }
    return await openLoggedIn(this.#ctx, this.#account, this.#host, () =>
      Submission.open(this.#ctx.net, target, { signal: this.#signal, clientName }),
    )
  }

  #drop(): void {
    this.#connection?.close()
    this.#connection = undefined
  }
}

/** An address that SMTP cannot carry: no other server would take the message either. */
const malformed = (error: AddressError): Failure =>
  new Failure(
    { flag: 'message_malformed', scope: 'message', persistence: 'permanent', blocks: [] },
    { stage: 'smtp', step: 'envelope', evidence: error.message },
    { cause: error },
  )

/** The server has judged the message: the lane works. */
const isAnswer = (result: AttemptResult): boolean =>
  result.kind === 'replied' ||
  (result.kind === 'refused' && ['message', 'recipient'].includes(result.failure.verdict.scope))
