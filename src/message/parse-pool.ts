// The parsing threads of a process: few, made when they are first needed, used again, and replaced when a message was too much for one.

import { LIMITS } from './limits.ts'
import { ParseThread, type ParseOutcome, type ParseRequest } from './parse-thread.ts'

export class ParsePool {
  readonly #size: number
  readonly #idle: ParseThread[] = []
  readonly #all = new Set<ParseThread>()
  readonly #waiting: (() => void)[] = []
  #busy = 0
  #closed = false

  constructor(size: number) {
    this.#size = size
  }

  /** Waits for a thread, then for the outcome. Throws what the source or the writer of the request throws. */
  async parse(request: ParseRequest): Promise<ParseOutcome> {
    await this.#turn()
    try {
      const thread = this.#thread(request.limits.heapMb)
      try {
        return await thread.parse(request)
      } finally {
        await this.#putBack(thread, request.limits.heapMb)
      }
    } finally {
      this.#busy -= 1
      this.#waiting.shift()?.()
    }
  }

  /** Ends every thread; whoever still has a message in one is told that it broke. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#all].map((thread) => thread.close()))
    this.#all.clear()
    this.#idle.length = 0
  }

  async #turn(): Promise<void> {
    while (this.#busy >= this.#size) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#busy += 1
  }

  #thread(heapMb: number): ParseThread {
    if (this.#closed) throw new Error('the parsing threads are closed')
    const idle = heapMb === LIMITS.heapMb ? this.#idle.pop() : undefined
    if (idle) return idle
    const made = new ParseThread(heapMb)
    this.#all.add(made)
    return made
  }

  /** A thread with a larger heap was for one message. */
  async #putBack(thread: ParseThread, heapMb: number): Promise<void> {
    if (thread.usable && heapMb === LIMITS.heapMb && !this.#closed) {
      this.#idle.push(thread)
      return
    }
    this.#all.delete(thread)
    await thread.close()
  }
}
