// The parsing threads of a process: few, made when they are first needed, used again, and replaced when a message was too much for one.

import { LIMITS, RAISED_LIMITS, type ParseLimits } from './limits.ts'
import { ParseThread, type ParseOutcome, type ParseRequest } from './parse-thread.ts'

export interface ParsePoolOptions {
  readonly threads: number
  readonly limits?: ParseLimits
  readonly raisedLimits?: ParseLimits
}

export class ParsePool {
  readonly #threads: number
  readonly #limits: ParseLimits
  readonly #raisedLimits: ParseLimits
  readonly #idle: ParseThread[] = []
  readonly #all = new Set<ParseThread>()
  readonly #waiting: (() => void)[] = []
  #busy = 0
  #closed = false

  constructor({ threads, limits = LIMITS, raisedLimits = RAISED_LIMITS }: ParsePoolOptions) {
    this.#threads = threads
    this.#limits = limits
    this.#raisedLimits = raisedLimits
  }

  /** Waits for a thread, then for the outcome. Throws what the source or the writer of the request throws. */
  async parse(request: ParseRequest): Promise<ParseOutcome> {
    while (this.#busy >= this.#threads) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#busy += 1
    try {
      request.signal?.throwIfAborted()
      const thread = this.#thread(request.raised === true)
      try {
        return await thread.parse(request)
      } finally {
        await this.#putBack(thread, request.raised === true)
      }
    } finally {
      this.#busy -= 1
      this.#waiting.shift()?.()
    }
  }

  /** Ends every thread; whoever still has a message in one is told that it broke. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(Array.from(this.#all, (thread) => thread.close()))
    this.#all.clear()
    this.#idle.length = 0
  }

  #thread(raised: boolean): ParseThread {
    if (this.#closed) throw new Error('the parsing threads are closed')
    if (raised) return this.#make(this.#raisedLimits)
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      if (idle.usable) return idle
      this.#all.delete(idle) // it ended while nobody looked
    }
    return this.#make(this.#limits)
  }

  #make(limits: ParseLimits): ParseThread {
    const made = new ParseThread(limits)
    this.#all.add(made)
    return made
  }

  /** A thread with raised limits has a larger heap, and was for one message. */
  async #putBack(thread: ParseThread, raised: boolean): Promise<void> {
    if (thread.usable && !raised && !this.#closed) {
      this.#idle.push(thread)
      return
    }
    this.#all.delete(thread)
    await thread.close()
  }
}
