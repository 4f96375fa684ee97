// One turn of a send lane: claims what is due in small batches and hands it over, over as many connections as the work and the
// lane's budget justify. Point of no return: the final dot, committed as 'handing_over' before it leaves.

import { SECOND_MS } from '../base/clock.ts'
import { Failure, isStopping } from '../base/failure.ts'
import type { Account, MailHost } from '../db/accounts.ts'
import { underLease, type Lease } from '../db/lanes.ts'
import { claimMessages, type ClaimedMessage } from '../db/outbound.ts'
import { readOutboundBody, readSmallBodies } from '../db/outbound-bodies.ts'
import { AddressError } from '../smtp/envelope.ts'
import { UncertainOutcome, type Submission } from '../smtp/submission.ts'
import { connect, purposeOf, type SendContext } from './connect.ts'
import { Journal } from './journal.ts'
import { decide, returned, type AttemptResult } from './outcome.ts'

/** A lane with more to send gives the others their turn after that. */
const TURN_MS = 60 * SECOND_MS
const MOST_CLAIMED = 100
/** What was claimed should be gone within about this time: mail that is more urgent need not wait longer for it. */
const BATCH_MS = SECOND_MS / 2
/** So many messages at once, and more behind them, are worth another handshake; so is any number where the server is slow. */
const WORTH_A_CONNECTION = 8

interface Ready {
  readonly message: ClaimedMessage
  /** The whole body, where it is small. */
  readonly body: Buffer | undefined
}

/** As many as went lately in BATCH_MS, and at least one for each connection. */
function nextClaimSize(size: number, tookMs: number, connections: number): number {
  const next = tookMs < BATCH_MS / 2 ? size * 2 : tookMs > BATCH_MS * 2 ? size / 2 : size
  return Math.min(MOST_CLAIMED, Math.max(connections, Math.ceil(next)))
}

/** Somebody has cancelled or held the message while its bytes were on their way; the dot has not left. */
class Withdrawn extends Error {}

export class LaneTurn {
  attempted = 0
  /** The server took at least one message, or refused it for reasons of its own: the lane works. */
  succeeded = false
  /** A fault of the account stopped a message and not the lane. */
  concerned = false
  readonly #ctx: SendContext
  readonly #lease: Lease
  readonly #account: Account
  readonly #host: MailHost
  readonly #signal: AbortSignal
  readonly #journal: Journal
  readonly #endsAt: number
  readonly #ready: Ready[] = []
  readonly #working = new Set<Promise<void>>()
  #claimSize = 1
  #claimedAt = 0
  #claiming: Promise<void> | undefined
  #mostConnections = 5
  /** The last claim found nothing. */
  #dry = false
  #failure: Failure | undefined
  #fault: unknown
  #brokenInARow = 0

  constructor(ctx: SendContext, lease: Lease, account: Account, host: MailHost, signal: AbortSignal) {
    this.#ctx = ctx
    this.#lease = lease
    this.#account = account
    this.#host = host
    this.#signal = signal
    this.#journal = new Journal(ctx.database, lease)
    this.#endsAt = ctx.clock.now().getTime() + TURN_MS
  }

  /** Returns the fault that ended the lane's work, or undefined when nothing more is due or the turn is over. */
  async run(): Promise<Failure | undefined> {
    this.#start(true)
    while (this.#working.size > 0) await Promise.all(this.#working)
    if (this.#fault !== undefined) throw this.#fault
    await this.#giveBackTheRest()
    return this.#failure
  }

  get #over(): boolean {
    return (
      this.#failure !== undefined ||
      this.#fault !== undefined ||
      this.#signal.aborted ||
      this.#ctx.clock.now().getTime() >= this.#endsAt
    )
  }

  #start(first: boolean): void {
    const work = this.#work(first)
      .catch((error: unknown) => {
        this.#fault ??= error
      })
      .finally(() => this.#working.delete(work))
    this.#working.add(work)
  }

  /** One connection: the first one of a turn is taken from the turn before and left to the next, where it lives. */
  async #work(first: boolean): Promise<void> {
    const { keptConnections } = this.#ctx
    const purpose = first ? await purposeOf(this.#ctx, this.#account, this.#host) : ''
    const line = new Line(first ? keptConnections.take(this.#account.id, purpose) : undefined, this.#signal)
    try {
      if (!first && !(await this.#open(line))) return
      for (let next = await this.#next(); next; next = await this.#next()) await this.#deliver(next, line)
      await line.settled
    } finally {
      const left = line.give()
      if (!left) line.close()
      else if (first && !this.#signal.aborted) keptConnections.keep(this.#account.id, purpose, left)
      else void left.quit()
    }
  }

  /** A further connection that the server does not want is done without. */
  async #open(line: Line): Promise<boolean> {
    try {
      line.submission = await connect(this.#ctx, this.#account, this.#host, this.#signal)
      return true
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      this.#mostConnections = Math.max(1, this.#working.size - 1)
      this.#ctx.log.debug({ account: this.#account.email, flag: error.flag }, 'no further connection')
      return false
    }
  }

  async #next(): Promise<Ready | undefined> {
    if (this.#over) return undefined
    // the next batch is fetched while the last messages of this one are under way
    if (this.#ready.length < this.#working.size && !this.#dry) void this.#claim()
    if (this.#ready.length === 0) await this.#claim()
    return this.#over ? undefined : this.#ready.shift()
  }

  #claim(): Promise<void> {
    this.#claiming ??= this.#claimOnce()
      .catch((error: unknown) => {
        this.#fault ??= error
      })
      .finally(() => {
        this.#claiming = undefined
      })
    return this.#claiming
  }

  async #claimOnce(): Promise<void> {
    const now = performance.now()
    const tookMs = this.#claimedAt === 0 ? 0 : now - this.#claimedAt
    if (this.#claimedAt > 0) this.#claimSize = nextClaimSize(this.#claimSize, tookMs, this.#working.size)
    this.#claimedAt = now
    const claimed = await underLease(this.#ctx.db, this.#lease, async (tx) => {
      for (;;) {
        const batch = await claimMessages(tx, this.#lease, this.#claimSize)
        if (batch.claimed.length > 0 || batch.putOff === 0) return batch.claimed
      }
    })
    this.#dry = claimed.length === 0
    const bodies = await readSmallBodies(this.#ctx.db, claimed)
    this.#ready.push(...claimed.map((message) => ({ message, body: bodies.get(message.id) })))
    const moreWaits = claimed.length === this.#claimSize
    const worthIt = this.#claimSize >= WORTH_A_CONNECTION || tookMs > BATCH_MS
    if (moreWaits && worthIt && this.#working.size < this.#mostConnections) this.#start(false)
  }

  async #deliver({ message, body }: Ready, line: Line): Promise<void> {
    this.attempted += 1
    const result = await this.#attempt(message, body, line)
    const account = this.#account.email
    if (result.kind === 'withdrawn') {
      this.#ctx.log.info({ account, message: message.id }, 'withdrawn before its final dot')
      return
    }
    const { settlement, laneFailure, concern } = decide(message, result, {
      now: this.#ctx.clock.now(),
      random: Math.random(),
      policy: this.#account.uncertainPolicy,
      transcript: line.submission?.transcript.join('\n') ?? line.lastWords,
      accountEmail: account,
    })
    if (concern) this.concerned = true
    if (!laneFailure && isAnswer(result)) this.succeeded = true
    if (settlement.state !== 'sent') {
      const { state, step, reply, flag } = settlement
      this.#ctx.log.warn(
        { account, message: message.id, state, step, flag, evidence: reply },
        'message not handed over',
      )
    }
    if (laneFailure) this.#failure ??= laneFailure
    const broken = result.kind === 'refused' && result.failure.verdict.scope === 'network'
    this.#brokenInARow = broken ? this.#brokenInARow + 1 : 0
    // one message may break a connection by what it is; two in a row are broken by the connection
    if (broken && this.#brokenInARow >= 2) this.#failure ??= result.failure
    if (laneFailure || !line.submission?.usable) line.close()
    const settled = this.#journal.settle(message, settlement).then((ours) => {
      if (!ours) this.#ctx.log.warn({ account, message: message.id }, 'the attempt had been settled by somebody else')
    })
    line.settled = settled
    // it is awaited before the next point of no return, or at the end
    settled.catch(() => undefined)
  }

  async #attempt(
    message: ClaimedMessage,
    body: Buffer | undefined,
    line: Line,
  ): Promise<AttemptResult | { kind: 'withdrawn' }> {
    try {
      const submission = line.submission ?? (line.submission = await this.#connect())
      try {
        return await this.#send(message, body, line, submission)
      } catch (error) {
        // it was closed while it lay idle: nothing was said of this message yet
        if (!(error instanceof Failure) || !submission.endedWhileIdle || this.#signal.aborted) throw error
        line.close()
        return await this.#send(message, body, line, (line.submission = await this.#connect()))
      }
    } catch (error) {
      if (error instanceof Withdrawn) return { kind: 'withdrawn' }
      if (error instanceof UncertainOutcome) return { kind: 'unknown', step: error.phase, evidence: error.message }
      if (error instanceof Failure) {
        const brokenOff = isStopping(this.#signal) && ['network', 'service'].includes(error.verdict.scope)
        return brokenOff ? { kind: 'interrupted' } : { kind: 'refused', failure: error }
      }
      if (error instanceof AddressError) return { kind: 'refused', failure: malformed(error) }
      throw error
    }
  }

  async #send(
    message: ClaimedMessage,
    body: Buffer | undefined,
    line: Line,
    submission: Submission,
  ): Promise<AttemptResult> {
    const recipients = message.recipients
      .filter((r) => r.state === 'pending' || r.state === 'deferred')
      .map((r) => r.address)
    const handed = await submission.send(
      { from: message.envelopeFrom, recipients },
      readOutboundBody(this.#ctx.db, message, body),
      {
        sizeBytes: message.sizeBytes,
        beforeFinalDot: async () => {
          await line.settled
          if (!(await this.#journal.mayHandOver(message))) throw new Withdrawn()
        },
      },
    )
    return { kind: 'replied', reply: handed.reply, recipients: handed.recipients }
  }

  #connect(): Promise<Submission> {
    return connect(this.#ctx, this.#account, this.#host, this.#signal)
  }

  /** What was claimed and not tried waits on, in its old place. */
  async #giveBackTheRest(): Promise<void> {
    const about = { now: this.#ctx.clock.now(), transcript: '' }
    const failure = this.#failure
    const said = failure
      ? { reply: failure.evidence, flag: failure.flag }
      : { reply: this.#signal.aborted ? 'the service is stopping' : 'its turn was over' }
    await Promise.all(
      this.#ready.splice(0).map(({ message }) => this.#journal.settle(message, returned(message, about, said))),
    )
  }
}

/** A connection as it is used by one turn, and the settlement of the message that went over it last. */
class Line {
  submission: Submission | undefined
  settled: Promise<void> = Promise.resolve()
  /** Dialogue of a connection that is gone. */
  lastWords = ''

  constructor(submission: Submission | undefined, signal: AbortSignal) {
    this.submission = submission
    submission?.obey(signal)
  }

  close(): void {
    this.lastWords = this.submission?.transcript.join('\n') ?? this.lastWords
    this.submission?.close()
    this.submission = undefined
  }

  give(): Submission | undefined {
    const { submission } = this
    this.submission = undefined
    return submission
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
