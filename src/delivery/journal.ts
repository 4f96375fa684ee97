// Commits for several messages at once: what the connections of a lane bring while one commit is under way goes into the next.
// The point of no return of a message is the first of its two entries.

import type { Database } from '../db/database.ts'
import { markHandingOver, settleAttempts, type Settlement } from '../db/delivery-attempts.ts'
import type { Lease } from '../db/lanes.ts'
import type { ClaimedMessage } from '../db/outbound.ts'

export class Journal {
  readonly #marks: Batches<ClaimedMessage>
  readonly #settlements: Batches<{ message: ClaimedMessage; settlement: Settlement }>

  constructor(database: Database, lease: Lease) {
    this.#marks = new Batches(
      (messages) => markHandingOver(database, lease, messages),
      (message) => message.id,
    )
    this.#settlements = new Batches(
      (items) => settleAttempts(database, items),
      ({ message }) => message.id,
    )
  }

  /** Whether the final dot may leave; false: somebody has withdrawn the message. Throws LeaseLost: it must not. */
  mayHandOver(message: ClaimedMessage): Promise<boolean> {
    return this.#marks.add(message)
  }

  /** Whether this is what became of the attempt; false: it was settled otherwise before. */
  settle(message: ClaimedMessage, settlement: Settlement): Promise<boolean> {
    return this.#settlements.add({ message, settlement })
  }
}

const MOST_AT_ONCE = 200

class Batches<T> {
  readonly #write: (items: readonly T[]) => Promise<ReadonlySet<number>>
  readonly #idOf: (item: T) => number
  #waiting: { item: T; done: PromiseWithResolvers<boolean> }[] = []
  #writing = false

  constructor(write: (items: readonly T[]) => Promise<ReadonlySet<number>>, idOf: (item: T) => number) {
    this.#write = write
    this.#idOf = idOf
  }

  add(item: T): Promise<boolean> {
    const done = Promise.withResolvers<boolean>()
    this.#waiting.push({ item, done })
    // in a turn of its own: those that arrive together go together
    if (!this.#writing) {
      this.#writing = true
      setImmediate(() => void this.#run())
    }
    return done.promise
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MOST_AT_ONCE)
      try {
        const written = await this.#write(batch.map(({ item }) => item))
        for (const { item, done } of batch) done.resolve(written.has(this.#idOf(item)))
      } catch (error) {
        for (const { done } of batch) done.reject(error)
      }
    }
    this.#writing = false
  }
}
