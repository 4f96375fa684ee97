// The same command for many messages, several of them in flight, answered in order. RFC 2449 section 6.6.

import type { Answer, Shape } from './answer.ts'
import type { Wire } from './wire.ts'

export interface Sent {
  readonly number: number
  readonly answer: Answer
}

export class Pipeline {
  readonly #wire: Wire
  readonly #verb: string
  readonly #shape: Shape
  readonly #numbers: readonly number[]
  readonly #window: number
  #next = 0
  readonly #inFlight: Sent[] = []

  /** `window` 1: a command is sent when the one before is answered. */
  constructor(wire: Wire, verb: string, shape: Shape, numbers: readonly number[], window: number) {
    this.#wire = wire
    this.#verb = verb
    this.#shape = shape
    this.#numbers = numbers
    this.#window = window
  }

  /** The oldest command in flight; undefined when all are done. Its answer may still have to arrive. */
  async next(): Promise<Sent | undefined> {
    // Sent in halves of the window: fewer, larger writes, and the server never waits for us.
    if (this.#inFlight.length <= this.#window / 2 && this.#next < this.#numbers.length) {
      while (this.#inFlight.length === 0 && this.#wire.busy) await this.#wire.turn()
      this.#fill()
    }
    return this.#inFlight.shift()
  }

  /** Whoever stops early leaves answers behind: they are received and thrown away, so that the next command gets its own. */
  abandon(): void {
    for (const { answer } of this.#inFlight.splice(0)) answer.drop()
  }

  #fill(): void {
    const upTo = Math.min(this.#numbers.length, this.#next + this.#window - this.#inFlight.length)
    let commands = ''
    for (const number of this.#numbers.slice(this.#next, upTo)) {
      commands += `${this.#verb} ${number}\r\n`
      this.#inFlight.push({ number, answer: this.#wire.expect(this.#verb.toLowerCase(), this.#shape) })
    }
    this.#next = upTo
    this.#wire.write(commands)
  }
}
