// The body of one multi-line reply on its way from the wire to its reader: batches of buffers, no stream per message.

import type { Failure } from '../base/failure.ts'

/** Told how many bytes wait to be read, so that it can stop the socket. */
export interface Flow {
  held(bytes: number): void
  released(bytes: number): void
}

/** Iterates over batches; ends only when the terminator was received, and throws Failure where it never came. */
export class Body implements AsyncIterableIterator<Buffer[], undefined> {
  readonly #flow: Flow
  #pieces: Buffer[] = []
  #bytes = 0
  #state: 'open' | 'complete' | 'dropped' = 'open'
  #failure: Failure | undefined
  #wake: (() => void) | undefined

  constructor(flow: Flow) {
    this.#flow = flow
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Buffer[], undefined>> {
    for (;;) {
      if (this.#failure) throw this.#failure
      // never an ordinary end: it would make a message look complete that is not
      if (this.#state === 'dropped') throw new Error('the rest of this body was given up')
      if (this.#pieces.length > 0) {
        const value = this.#pieces
        this.#pieces = []
        this.#release()
        return { done: false, value }
      }
      if (this.#state === 'complete') return { done: true, value: undefined }
      await new Promise<void>((wake) => (this.#wake = wake))
    }
  }

  return(): Promise<IteratorResult<Buffer[], undefined>> {
    this.drop()
    return Promise.resolve({ done: true, value: undefined })
  }

  /** Nobody reads it any further; what is still to come is received and thrown away. */
  drop(): void {
    if (this.#state === 'complete' && this.#pieces.length === 0) return
    this.#state = 'dropped'
    this.#pieces = []
    this.#release()
    this.#wake?.()
  }

  push(piece: Buffer): void {
    if (this.#state === 'dropped') return
    this.#pieces.push(piece)
    this.#bytes += piece.length
    this.#flow.held(piece.length)
    this.#wake?.()
  }

  end(): void {
    if (this.#state === 'open') this.#state = 'complete'
    this.#wake?.()
  }

  fail(failure: Failure): void {
    this.#failure = failure
    this.#pieces = []
    this.#release()
    this.#wake?.()
  }

  #release(): void {
    const bytes = this.#bytes
    this.#bytes = 0
    if (bytes > 0) this.#flow.released(bytes)
  }
}
