// A clock that stands until a test turns it.

import type { Clock } from '../../src/base/clock.ts'

export class ManualClock implements Clock {
  #ms: number

  constructor(start = Date.now()) {
    this.#ms = start
  }

  get ms(): number {
    return this.#ms
  }

  now(): Date {
    return new Date(this.#ms)
  }

  /** Never back. */
  turnTo(at: Date): void {
    this.#ms = Math.max(this.#ms, at.getTime())
  }
}

/** The most of these instants that lie within one window of that length. */
export function mostWithin(instants: readonly number[], windowMs: number): number {
  const sorted = instants.toSorted((a, b) => a - b)
  return Math.max(0, ...sorted.map((end, i) => i + 1 - sorted.findIndex((at) => at > end - windowMs)))
}
