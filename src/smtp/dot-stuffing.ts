// The transparency rule of DATA, on bytes and in constant memory: a dot at the start of a line is doubled.
// RFC 5321 4.5.2. Long lines and 8-bit octets pass untouched.

const CR = 0x0d
const LF = 0x0a
const DOT = 0x2e
const ONE_DOT = Buffer.from('.')
const CRLF = Buffer.from('\r\n')

/**
 * A CR or LF on its own. Lenient servers take it for a line end, so that a message could end early and smuggle in a
 * second one: it must not reach the wire, and repairing it here would change bytes somebody hashed or signed.
 */
export class BareNewline extends Error {
  override readonly name = 'BareNewline'
}

/** Stuffs one message, chunk by chunk. */
export class DotStuffer {
  /** The octet before the next chunk; a message begins at the start of a line. */
  #previous = LF

  /** Throws BareNewline where the chunk is not canonical CRLF text. */
  push(chunk: Buffer): Buffer {
    if (chunk.length === 0) return chunk
    if (this.#previous === CR && chunk[0] !== LF) throw new BareNewline('bare CR in the message')
    this.#checkReturns(chunk)
    const pieces: Buffer[] = []
    let taken = 0
    const insertDotAt = (position: number) => {
      pieces.push(chunk.subarray(taken, position), ONE_DOT)
      taken = position
    }
    if (this.#previous === LF && chunk[0] === DOT) insertDotAt(0)
    for (let at = chunk.indexOf(LF); at >= 0; at = chunk.indexOf(LF, at + 1)) {
      const before = at === 0 ? this.#previous : chunk[at - 1]
      if (before !== CR) throw new BareNewline('bare LF in the message')
      if (chunk[at + 1] === DOT) insertDotAt(at + 1)
    }
    this.#previous = chunk[chunk.length - 1] ?? LF
    if (pieces.length === 0) return chunk
    pieces.push(chunk.subarray(taken))
    return Buffer.concat(pieces)
  }

  /** What is missing until the body ends with a line end: nothing, or CRLF. */
  end(): Buffer {
    if (this.#previous === CR) throw new BareNewline('bare CR in the message')
    return this.#previous === LF ? Buffer.alloc(0) : CRLF
  }

  #checkReturns(chunk: Buffer): void {
    for (let at = chunk.indexOf(CR); at >= 0; at = chunk.indexOf(CR, at + 1)) {
      if (at + 1 < chunk.length && chunk[at + 1] !== LF) throw new BareNewline('bare CR in the message')
    }
  }
}
