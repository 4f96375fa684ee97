// Finds the end of a multi-line reply and takes dot-stuffing away, in whatever pieces the bytes come. Nothing else is
// changed: bare CR and LF, NUL and 8-bit bytes pass. RFC 1939 section 3.

export interface Sink {
  push(piece: Buffer): void
}

const CR = 0x0d
const LF = 0x0a
const DOT = 0x2e
const LINE_END_DOT = Buffer.from('\r\n.')
const ONE_CR = Buffer.from('\r')

/** What the bytes seen so far end with; a dot that begins a line is held back until it is known what it means. */
type Tail = 'line start' | 'middle' | 'CR' | 'dot' | 'dot CR'

export class DotUnstuffer {
  // after the status line a line begins: an empty body is its terminator alone
  #tail: Tail = 'line start'

  /**
   * Hands the body's bytes in `chunk`, from `from` on, to `sink` (as views, not copies).
   * Returns the position behind the terminator, or -1 where the body goes on in the next chunk.
   */
  feed(chunk: Buffer, from: number, sink: Sink): number {
    const end = chunk.length
    if (from >= end) return -1
    if (this.#tail === 'dot CR') {
      if (chunk[from] === LF) return this.#finish(from + 1)
      sink.push(ONE_CR)
      this.#tail = 'middle'
    } else if (this.#tail === 'dot') {
      const behind = this.#behindTerminator(chunk, from)
      if (behind !== undefined) return behind
      this.#tail = 'middle'
    }
    let at = from
    let dot = this.#leadingDot(chunk, at)
    for (;;) {
      if (dot < 0) {
        const found = chunk.indexOf(LINE_END_DOT, at)
        if (found < 0) break
        dot = found + 2
      }
      if (dot > at) sink.push(chunk.subarray(at, dot))
      at = dot + 1
      if (at === end) {
        this.#tail = 'dot'
        return -1
      }
      const behind = this.#behindTerminator(chunk, at)
      if (behind !== undefined) return behind
      this.#tail = 'middle'
      dot = -1
    }
    sink.push(at === 0 ? chunk : chunk.subarray(at))
    this.#tail = this.#tailOf(chunk, at)
    return -1
  }

  /** `at` is behind a dot that began a line. undefined: the dot was stuffing. -1: not decided within this chunk. */
  #behindTerminator(chunk: Buffer, at: number): number | undefined {
    if (chunk[at] !== CR) return undefined
    if (at + 1 === chunk.length) {
      this.#tail = 'dot CR'
      return -1
    }
    return chunk[at + 1] === LF ? this.#finish(at + 2) : undefined
  }

  /** Position of a dot that begins a line because of what the chunk before ended with; -1 where there is none. */
  #leadingDot(chunk: Buffer, from: number): number {
    if (this.#tail === 'line start' && chunk[from] === DOT) return from
    if (this.#tail === 'CR' && chunk[from] === LF && chunk[from + 1] === DOT) return from + 1
    return -1
  }

  #tailOf(chunk: Buffer, at: number): Tail {
    const last = chunk.length - 1
    if (chunk[last] === CR) return 'CR'
    if (chunk[last] !== LF) return 'middle'
    const beforeIsCr = last > at ? chunk[last - 1] === CR : this.#tail === 'CR'
    return beforeIsCr ? 'line start' : 'middle'
  }

  #finish(position: number): number {
    this.#tail = 'line start'
    return position
  }
}
