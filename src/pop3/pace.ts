// How long a server may take. A status line has one limit from the moment it is due, however its bytes trickle; a body has to
// bring a least number of bytes within each such span. So a server that drips frees its slot as one that is silent does.

import { SECOND_MS } from '../base/clock.ts'

export interface PaceLimits {
  /** For a status line, and the span in which a body is measured. */
  readonly idleMs: number
  /** What a body that is not complete must have brought within each span. */
  readonly minBodyBytes: number
}

export type Owed = 'line' | 'body' | undefined

export class Pace {
  readonly #minBodyBytes: number
  /** Told what the server did, as the end of a sentence that begins with its name. */
  readonly #onLate: (what: string) => void
  #idleMs: number
  #timer: NodeJS.Timeout | undefined
  #owed: Owed
  #bytes = 0

  constructor(limits: PaceLimits, onLate: (what: string) => void) {
    this.#minBodyBytes = limits.minBodyBytes
    this.#idleMs = limits.idleMs
    this.#onLate = onLate
  }

  set idleMs(ms: number) {
    this.#idleMs = ms
    this.rest()
  }

  /** A span begins. undefined: nothing is owed, or it is we who do not read. */
  begin(owed: Owed): void {
    this.#owed = owed
    this.#bytes = 0
    // a timer that has nothing to watch any more finds that out when it goes off: cheaper than to clear it for every command
    if (owed === undefined) return
    if (this.#timer) this.#timer.refresh()
    else this.#timer = setTimeout(() => this.#spanIsOver(), this.#idleMs).unref()
  }

  received(bytes: number): void {
    this.#bytes += bytes
  }

  rest(): void {
    this.#owed = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #spanIsOver(): void {
    if (this.#owed === undefined) return
    if (this.#owed === 'body' && this.#bytes >= this.#minBodyBytes) return this.begin('body')
    const seconds = this.#idleMs / SECOND_MS
    if (this.#bytes === 0) this.#onLate(`was silent for ${seconds} s`)
    else if (this.#owed === 'line') this.#onLate(`did not complete a reply line within ${seconds} s`)
    else this.#onLate(`sent only ${this.#bytes} bytes of a reply within ${seconds} s`)
  }
}
