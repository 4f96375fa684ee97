// The same command for many messages, several of them in flight, answered in order. RFC 2449 section 6.6.

import type { Answer, Shape } from './answer.ts'
import type { Wire } from './wire.ts'

export interface Sent {
  readonly number: number
  readonly answer: Answer
}

/** How far ahead is asked: so many commands, and so many bytes of replies, by what the server announced. */
export interface Window {
  readonly commands: number
  readonly bytes: number
}

export interface Commands {
  readonly verb: string
  /** What stands behind the number. */
  readonly argument?: number
  readonly shape: Shape
  readonly numbers: readonly number[]
  /** How long the reply to each is going to be, where that is known. */
  readonly sizeOf?: ((number: number) => number | undefined) | undefined
}

/** However large messages are, the next one is asked for while one is read. */
const AT_LEAST = 2

export class Pipeline {
  readonly #wire: Wire
  readonly #commands: Commands
  readonly #window: Window
  #next = 0
  readonly #inFlight: (Sent & { readonly sizeBytes: number })[] = []
  #bytes = 0

  /** A window of one command: it is sent when the one before is answered. */
  constructor(wire: Wire, commands: Commands, window: Window) {
    this.#wire = wire
    this.#commands = commands
    this.#window = window
  }

  /** The oldest command in flight; undefined when all are done. Its answer may still have to arrive. */
  async next(): Promise<Sent | undefined> {
    if (this.#next < this.#commands.numbers.length && this.#hasRoom()) {
      while (this.#inFlight.length === 0 && this.#wire.busy) await this.#wire.turn()
      this.#fill()
    }
    const oldest = this.#inFlight.shift()
    this.#bytes -= oldest?.sizeBytes ?? 0
    return oldest
  }

  /** Whoever stops early leaves answers behind: they are received and thrown away, so that the next command gets its own. */
  abandon(): void {
    for (const { answer } of this.#inFlight.splice(0)) answer.drop()
  }

  /** Refilled at half of the window: fewer, larger writes, and the server never waits for us. */
  #hasRoom(): boolean {
    const { commands, bytes } = this.#window
    const ahead = this.#inFlight.length
    return ahead < Math.min(AT_LEAST, commands) || (ahead <= commands / 2 && this.#bytes <= bytes / 2)
  }

  #fill(): void {
    const { verb, argument, shape, numbers, sizeOf } = this.#commands
    const { commands, bytes } = this.#window
    const suffix = argument === undefined ? '' : ` ${argument}`
    let text = ''
    for (; this.#next < numbers.length && this.#inFlight.length < commands; this.#next += 1) {
      const number = numbers[this.#next] ?? 0
      // of one whose size nobody told a full window would just fit
      const sizeBytes = sizeOf?.(number) ?? bytes / commands
      if (this.#inFlight.length >= AT_LEAST && this.#bytes + sizeBytes > bytes) break
      text += `${verb} ${number}${suffix}\r\n`
      this.#inFlight.push({ number, sizeBytes, answer: this.#wire.expect(verb.toLowerCase(), shape) })
      this.#bytes += sizeBytes
    }
    this.#wire.write(text)
  }
}
