// No host may hold all sessions of a process: where one answers a byte a second, or not at all, the accounts of the others still
// get their turn.

export class HostSlots {
  readonly #most: number
  readonly #taken = new Map<string, number>()

  /** `most` sessions with one host at a time. */
  constructor(most: number) {
    this.#most = most
  }

  /** Gives the slot back when called; undefined: none is free. */
  take(host: string): (() => void) | undefined {
    const taken = this.#taken.get(host) ?? 0
    if (taken >= this.#most) return undefined
    this.#taken.set(host, taken + 1)
    return () => {
      const left = (this.#taken.get(host) ?? 1) - 1
      if (left > 0) this.#taken.set(host, left)
      else this.#taken.delete(host)
    }
  }
}
