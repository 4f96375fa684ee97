// No host may hold all sessions of a process: where one answers a byte a second, or not at all, the accounts of the others still
// get their turn.

import { MINUTE_MS, SECOND_MS } from '../base/clock.ts'

const WAIT_MS = 4 * SECOND_MS
const LONGEST_WAIT_MS = 2 * MINUTE_MS

export class HostSlots {
  readonly #most: number
  readonly #taken = new Map<string, number>()
  /** Turned away, and not let in since: about how many wait. */
  readonly #refused = new Map<string, number>()

  /** `most` sessions with one host at a time. */
  constructor(most: number) {
    this.#most = most
  }

  /** Gives the slot back when called; undefined: none is free. */
  take(host: string): (() => void) | undefined {
    const taken = this.#taken.get(host) ?? 0
    const refused = this.#refused.get(host) ?? 0
    if (taken >= this.#most) {
      this.#refused.set(host, refused + 1)
      return undefined
    }
    if (refused > 1) this.#refused.set(host, refused - 1)
    else this.#refused.delete(host)
    this.#taken.set(host, taken + 1)
    return () => {
      const left = (this.#taken.get(host) ?? 1) - 1
      if (left > 0) this.#taken.set(host, left)
      else this.#taken.delete(host)
    }
  }

  /** How long to wait before asking again: longer, the more wait, so that they do not spend the process on asking. */
  waitMs(host: string): number {
    return Math.min(LONGEST_WAIT_MS, WAIT_MS * (1 + (this.#refused.get(host) ?? 0) / this.#most))
  }
}
