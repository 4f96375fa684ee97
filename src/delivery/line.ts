// One connection as a turn uses it: an attempt for one message after the other, each of them over a session that lives.
// Point of no return: the final dot, committed as 'handing_over' before it leaves.

import { Failure, isStopping } from '../base/failure.ts'
import type { Account, MailHost } from '../db/accounts.ts'
import type { Lease } from '../db/lanes.ts'
import type { ClaimedMessage } from '../db/outbound.ts'
import { DamagedBody, readOutboundBody } from '../db/outbound-bodies.ts'
import { CannotCompose } from '../message/compose.ts'
import { AddressError } from '../smtp/envelope.ts'
import { UncertainOutcome, type Submission } from '../smtp/submission.ts'
import { composeDraft } from './compose-draft.ts'
import { connect, type SendContext } from './connect.ts'
import type { Journal } from './journal.ts'
import { openRecipients, type AttemptResult } from './outcome.ts'

export interface Ready {
  readonly message: ClaimedMessage
  /** The whole body, where it is small. */
  readonly body: Buffer | undefined
}

/** Somebody has cancelled or held the message while its bytes were on their way; the dot has not left. */
class Withdrawn extends Error {}

export interface LineOptions {
  readonly ctx: SendContext
  readonly lease: Lease
  readonly account: Account
  readonly host: MailHost
  readonly signal: AbortSignal
  readonly journal: Journal
  /** A session of the turn before. */
  readonly submission: Submission | undefined
}

export class Line {
  /** The settlements of the messages before: awaited before the next point of no return, and by whoever ends the line. */
  settled: Promise<unknown> = Promise.resolve()
  readonly #o: LineOptions
  #submission: Submission | undefined
  /** Dialogue of a session that is gone. */
  #lastWords = ''

  constructor(options: LineOptions) {
    this.#o = options
    this.#submission = options.submission
    this.#submission?.obey(options.signal)
  }

  get usable(): boolean {
    return this.#submission?.usable ?? false
  }

  get transcript(): string {
    return this.#submission?.transcript.join('\n') ?? this.#lastWords
  }

  /** Throws Failure. */
  async open(): Promise<Submission> {
    const { ctx, account, host, signal } = this.#o
    this.#submission ??= await connect(ctx, account, host, signal)
    return this.#submission
  }

  close(): void {
    this.#lastWords = this.transcript
    this.#submission?.close()
    this.#submission = undefined
  }

  /** The session is somebody else's from here on. */
  give(): Submission | undefined {
    const submission = this.#submission
    this.#submission = undefined
    return submission
  }

  /** `most`: recipients in one transaction. Throws only what is our own fault. */
  async attempt(next: Ready, most: number): Promise<AttemptResult | { readonly kind: 'withdrawn' }> {
    const { ctx, lease, signal } = this.#o
    const { message } = next
    try {
      // before a server is kept waiting
      const sizeBytes = message.sizeBytes ?? (await composeDraft(ctx.db, lease, message.id)).sizeBytes
      const submission = await this.open()
      try {
        return await this.#send({ ...next, sizeBytes }, submission, most)
      } catch (error) {
        // the server takes so many messages over one connection, or keeps it so long: it said nothing of this one
        if (!(error instanceof Failure) || !submission.endedBetween || signal.aborted) throw error
        this.close()
        return await this.#send({ ...next, sizeBytes }, await this.open(), most)
      }
    } catch (error) {
      if (error instanceof Withdrawn) return { kind: 'withdrawn' }
      if (error instanceof UncertainOutcome) return { kind: 'unknown', step: error.phase, evidence: error.message }
      if (error instanceof Failure) {
        const brokenOff = isStopping(signal) && ['network', 'service'].includes(error.verdict.scope)
        return brokenOff ? { kind: 'interrupted' } : { kind: 'refused', failure: error }
      }
      if (error instanceof AddressError || error instanceof CannotCompose)
        return { kind: 'refused', failure: malformed(error) }
      if (error instanceof DamagedBody) return { kind: 'refused', failure: damaged(error) }
      throw error
    }
  }

  async #send(
    { message, body, sizeBytes }: Ready & { sizeBytes: number },
    submission: Submission,
    most: number,
  ): Promise<AttemptResult> {
    const { ctx, journal } = this.#o
    const recipients = openRecipients(message).slice(0, most)
    const handed = await submission.send(
      { from: message.envelopeFrom, recipients },
      readOutboundBody(ctx.database, { id: message.id, sizeBytes }, body),
      {
        sizeBytes,
        beforeFinalDot: async () => {
          // a large message takes longer than the turn's own pass is good for
          await ctx.fence.pass()
          // what became of the message before is committed with this one's point of no return, at the latest
          const [allowed] = await Promise.all([journal.mayHandOver(message), this.settled])
          if (!allowed) throw new Withdrawn()
        },
      },
    )
    return { kind: 'replied', reply: handed.reply, recipients: handed.recipients }
  }
}

/** Steps at which nobody but us has refused the message. */
export const OUR_STEPS: readonly string[] = ['envelope', 'body']

/** An address that SMTP cannot carry, or what makes no message: another try would not end otherwise. */
const malformed = (error: Error): Failure =>
  new Failure(
    { flag: 'message_malformed', scope: 'message', persistence: 'permanent', blocks: [] },
    { stage: 'smtp', step: 'envelope', evidence: error.message },
    { cause: error },
  )

/** It stops this message and no other; somebody may bring the piece back. */
const damaged = (error: Error): Failure =>
  new Failure(
    { flag: 'storage_failure', scope: 'message', persistence: 'transient', blocks: [] },
    { stage: 'smtp', step: 'body', evidence: error.message },
    { cause: error },
  )
