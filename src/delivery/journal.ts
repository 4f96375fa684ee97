// Commits for several messages at once: points of no return and outcomes that the connections of a lane bring together, or while
// the commit before is under way, share one.

import { setTimeout as pause } from 'node:timers/promises'
import { SECOND_MS } from '../base/clock.ts'
import { LeaseLost } from '../base/failure.ts'
import type { Database } from '../db/database.ts'
import { writeJournal, type Settlement } from '../db/delivery-attempts.ts'
import type { Lease } from '../db/lanes.ts'
import type { ClaimedMessage } from '../db/outbound.ts'

/** So long a connection waits for the others before its final dot. */
const GATHER_MS = 1
/** An outcome waits for the next commit, but no longer than that. */
const SETTLE_MS = 5
const MOST_AT_ONCE = 200
/** What the database could not take is offered again for so long: an outcome that is lost makes its message uncertain. */
const PATIENCE_MS = 15 * SECOND_MS
const AGAIN_MS = SECOND_MS / 4

interface Mark {
  readonly message: ClaimedMessage
  readonly done: PromiseWithResolvers<boolean>
  /** By performance.now(). */
  readonly since: number
}

interface Outcome extends Mark {
  readonly settlement: Settlement
}

export class Journal {
  readonly #database: Database
  readonly #lease: Lease
  /** Connections at work: when all of them wait, nobody else is to come. */
  readonly #connections: () => number
  #marks: Mark[] = []
  #outcomes: Outcome[] = []
  #writing = false
  #timer: NodeJS.Timeout | undefined
  #timerMs = Infinity

  constructor(database: Database, lease: Lease, connections: () => number) {
    this.#database = database
    this.#lease = lease
    this.#connections = connections
  }

  /** Whether the final dot may leave; false: somebody has withdrawn the message. Throws LeaseLost: it must not. */
  mayHandOver(message: ClaimedMessage): Promise<boolean> {
    const done = Promise.withResolvers<boolean>()
    this.#marks.push({ message, done, since: performance.now() })
    this.#schedule(this.#marks.length >= this.#connections() ? 0 : GATHER_MS)
    return done.promise
  }

  /** Whether this is what became of the attempt; false: it was settled otherwise before. */
  settle(message: ClaimedMessage, settlement: Settlement): Promise<boolean> {
    const done = Promise.withResolvers<boolean>()
    this.#outcomes.push({ message, settlement, done, since: performance.now() })
    this.#schedule(this.#outcomes.length >= MOST_AT_ONCE ? 0 : SETTLE_MS)
    return done.promise
  }

  /** No more is to come from one of the connections: what waits is written now. */
  hurry(): void {
    if (this.#marks.length + this.#outcomes.length > 0) this.#schedule(0)
  }

  #schedule(ms: number): void {
    if (this.#writing || ms >= this.#timerMs) return
    clearTimeout(this.#timer)
    this.#timerMs = ms
    if (ms > 0) this.#timer = setTimeout(() => void this.#write(), ms)
    else void this.#write()
  }

  async #write(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timerMs = Infinity
    this.#writing = true
    const marks = this.#marks.splice(0, MOST_AT_ONCE)
    const outcomes = this.#outcomes.splice(0, MOST_AT_ONCE)
    try {
      const written = await writeJournal(this.#database, this.#lease, {
        marks: marks.map(({ message }) => message),
        settlements: outcomes,
      })
      for (const { message, done } of outcomes) done.resolve(written.settled.has(message.id))
      for (const { message, done } of marks) {
        if (written.held) done.resolve(written.marked.has(message.id))
        else done.reject(new LeaseLost(`the send lane of account ${this.#lease.accountId} was taken over`))
      }
    } catch (error) {
      // both may be written twice: a mark marks again, and what is settled stays as it is
      const patient = ({ done, since }: Mark): boolean => {
        if (performance.now() - since < PATIENCE_MS) return true
        done.reject(error)
        return false
      }
      this.#marks = [...marks.filter(patient), ...this.#marks]
      this.#outcomes = [...outcomes.filter(patient), ...this.#outcomes]
      await pause(AGAIN_MS)
    }
    this.#writing = false
    if (this.#marks.length > 0) this.#schedule(this.#marks.length >= this.#connections() ? 0 : GATHER_MS)
    if (this.#outcomes.length > 0) this.#schedule(SETTLE_MS)
  }
}
