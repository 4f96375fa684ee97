// One turn of a send lane: claims what is due in small batches and hands it over, over as many connections as the work justifies
// and the lane's budget admits.

import { SECOND_MS } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import type { Account, MailHost } from '../db/accounts.ts'
import { withdrawnOf } from '../db/delivery-attempts.ts'
import type { Lease } from '../db/lanes.ts'
import type { ClaimedMessage } from '../db/outbound.ts'
import { readSmallBodies } from '../db/outbound-bodies.ts'
import { purposeOf, type SendContext } from './connect.ts'
import { Journal } from './journal.ts'
import { Line, OUR_STEPS, type Ready } from './line.ts'
import { decide, returned, type AttemptResult } from './outcome.ts'
import { isThrottling } from './throttling.ts'
import { TurnPace } from './turn-pace.ts'

/** A lane with more to send gives the others their turn after that. */
const TURN_MS = 60 * SECOND_MS
const MOST_CLAIMED = 100
/** What was claimed should be gone within about this time: mail that is more urgent need not wait longer for it. */
const BATCH_MS = SECOND_MS / 2
/** So many messages at once, and more behind them, are worth another handshake; so is any number where the server is slow. */
const WORTH_A_CONNECTION = 8

/** As many as went lately in BATCH_MS, and at least one for each connection. */
function nextClaimSize(size: number, tookMs: number, connections: number): number {
  const next = tookMs < BATCH_MS / 2 ? size * 2 : tookMs > BATCH_MS * 2 ? size / 2 : size
  return Math.min(MOST_CLAIMED, Math.max(connections, Math.ceil(next)))
}

export class LaneTurn {
  attempted = 0
  /** The server took at least one message, or refused it for reasons of its own: the lane works. */
  succeeded = false
  /** A fault of the account stopped a message and not the lane. */
  concerned = false
  /** A connection is kept for the next turn. */
  kept = false
  readonly pace: TurnPace
  readonly #ctx: SendContext
  readonly #lease: Lease
  readonly #account: Account
  readonly #host: MailHost
  readonly #signal: AbortSignal
  readonly #journal: Journal
  readonly #endsAt: number
  readonly #ready: Ready[] = []
  readonly #working = new Set<Promise<void>>()
  /** The first message of a turn goes alone: it shows whether the lane works. */
  #claimSize = 1
  #claimedAt = 0
  #claiming: Promise<void> | undefined
  /** A further connection was refused: no more are tried in this turn. */
  #enoughConnections = false
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
    this.#journal = new Journal(ctx.database, lease, () => this.#working.size)
    this.pace = new TurnPace(ctx, lease, account.email)
    this.#endsAt = ctx.clock.now().getTime() + TURN_MS
  }

  /** Returns the fault that ended the lane's work, or undefined when nothing more is due, or may go, or the turn is over. */
  async run(): Promise<Failure | undefined> {
    this.#start(true)
    while (this.#working.size > 0 || this.#claiming) await Promise.all([...this.#working, this.#claiming])
    if (this.#fault !== undefined) throw this.#fault
    await this.#giveBackTheRest()
    return this.#failure
  }

  get #over(): boolean {
    return (
      this.#failure !== undefined ||
      this.#fault !== undefined ||
      this.pace.pausedBy !== undefined ||
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
    const [ctx, lease, account, host] = [this.#ctx, this.#lease, this.#account, this.#host]
    const [signal, journal] = [this.#signal, this.#journal]
    const purpose = first ? await purposeOf(ctx, account, host) : ''
    const submission = first ? ctx.keptConnections.take(account.id, purpose) : undefined
    const line = new Line({ ctx, lease, account, host, signal, journal, submission })
    try {
      if (!first && !(await this.#opened(line))) return
      for (let next = await this.#next(); next; next = await this.#next()) {
        if (!(await this.#deliver(next, line))) break
      }
    } finally {
      const left = line.give()
      if (left && first && !signal.aborted) this.kept = ctx.keptConnections.keep(account.id, purpose, left)
      else void left?.quit()
      // whatever ends the line: what became of its messages is written before the lane is anybody else's
      journal.hurry()
      await line.settled
    }
  }

  /** A further connection that the server does not want is done without. */
  async #opened(line: Line): Promise<boolean> {
    try {
      await line.open()
      return true
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      this.#enoughConnections = true
      await this.pace.learn(error)
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
    const claimed = await this.pace.claim(this.#claimSize)
    this.#dry = claimed.length === 0
    const bodies = await readSmallBodies(this.#ctx.db, claimed)
    this.#ready.push(...claimed.map((message) => ({ message, body: bodies.get(message.id) })))
    const moreWaits = claimed.length === this.#claimSize
    const worthIt = this.#claimSize >= WORTH_A_CONNECTION || tookMs > BATCH_MS
    // one that is kept already is open, too
    const open = this.#working.size + (this.kept ? 1 : 0)
    const mayBe = !this.#over && !this.#enoughConnections && open < this.pace.mostConnections
    if (moreWaits && worthIt && mayBe) this.#start(false)
  }

  /** Returns whether the line goes on. */
  async #deliver(next: Ready, line: Line): Promise<boolean> {
    const { message } = next
    const account = this.#account.email
    this.attempted += 1
    const result = await line.attempt(next, this.pace.recipientsPerMessage)
    if (result.kind === 'withdrawn') {
      this.#ctx.log.info({ account, message: message.id }, 'withdrawn before its final dot')
      line.close()
      await this.#dropWithdrawn()
      return true
    }
    const decision = decide(message, result, {
      now: this.#ctx.clock.now(),
      random: Math.random(),
      policy: this.#account.uncertainPolicy,
      transcript: line.transcript,
      accountEmail: account,
    })
    this.#note(message, result, decision)
    if (decision.laneFailure || !line.usable) line.close()
    const settled = this.#journal.settle(message, decision.settlement).then((ours) => {
      if (!ours) this.#ctx.log.warn({ account, message: message.id }, 'the attempt had been settled by somebody else')
    })
    line.settled = Promise.all([line.settled, settled])
    line.settled.catch(() => undefined) // it is awaited before the next point of no return, or at the end
    if (!(await this.pace.notice(message, result, decision.settlement.outcome === 'returned'))) return true
    // with fewer connections this one is too many; where it is the last, nobody is left to go on
    line.close()
    this.#enoughConnections = true
    if (this.#working.size === 1) this.pace.takeBreath()
    return false
  }

  /** Who withdraws one withdraws many: each that is offered first would cost a connection. */
  async #dropWithdrawn(): Promise<void> {
    const gone = await withdrawnOf(
      this.#ctx.db,
      this.#ready.map(({ message }) => message),
    )
    const left = this.#ready.filter(({ message }) => !gone.has(message.id))
    this.#ready.splice(0, this.#ready.length, ...left)
  }

  /** What the outcome says of the lane. */
  #note(
    message: ClaimedMessage,
    result: AttemptResult,
    { settlement, laneFailure, concern }: ReturnType<typeof decide>,
  ) {
    if (concern) this.concerned = true
    if (!laneFailure && isAnswer(result)) this.succeeded = true
    if (settlement.state !== 'sent') {
      const { state, step, reply, flag } = settlement
      this.#ctx.log.warn(
        { account: this.#account.email, message: message.id, state, step, flag, evidence: reply },
        'message not handed over',
      )
    }
    if (laneFailure && !isThrottling(laneFailure)) this.#failure ??= laneFailure
    const broken = result.kind === 'refused' && result.failure.verdict.scope === 'network'
    this.#brokenInARow = broken ? this.#brokenInARow + 1 : 0
    // one message may break a connection by what it is; two in a row are broken by the connection
    if (broken && this.#brokenInARow >= 2) this.#failure ??= result.failure
  }

  /** What was claimed and not tried waits on, in its old place. */
  async #giveBackTheRest(): Promise<void> {
    const about = { now: this.#ctx.clock.now(), transcript: '' }
    const failure = this.#failure ?? this.pace.pausedBy
    const said = failure
      ? { reply: failure.evidence, flag: failure.flag }
      : { reply: this.#signal.aborted ? 'the service is stopping' : 'its turn was over' }
    const rest = this.#ready.splice(0).map(({ message }) => message)
    this.pace.giveBack(rest)
    await Promise.all(rest.map((message) => this.#journal.settle(message, returned(message, about, said))))
  }
}

/** The server has judged the message: the lane works. */
const isAnswer = (result: AttemptResult): boolean =>
  result.kind === 'replied' ||
  (result.kind === 'refused' &&
    !OUR_STEPS.includes(result.failure.step) &&
    ['message', 'recipient'].includes(result.failure.verdict.scope))
