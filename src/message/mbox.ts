// Messages as one mbox file in its mboxrd form: ">" goes before every line that reads "From " behind any number of ">", so that
// taking one away brings the message back. Line ends are LF, as in every mbox.

/** Begins a message; `sender` may be anything. */
export function mboxSeparator(sender: string | null, at: Date): Buffer {
  const from = sender !== null && /^[!-~]{1,320}$/.test(sender) ? sender : 'MAILER-DAEMON'
  // Thu, 01 Jan 1970 00:00:00 GMT -> Thu Jan  1 00:00:00 1970, as asctime writes it
  const [weekday = '', day = '', month, year, time] = at.toUTCString().split(' ')
  const date = `${weekday.slice(0, 3)} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`
  return Buffer.from(`From ${from} ${date}\n`)
}

/** Quotes one message that comes in pieces cut anywhere; holds back a few bytes at most. */
export class MboxQuoter {
  /** The line so far is empty, or nothing but ">". */
  #lineStart = true
  /** What may be the beginning of "From " or of CRLF. */
  #held = ''
  #last = '\n'

  push(piece: Buffer): Buffer {
    const text = this.#held + piece.toString('latin1')
    const held = /\r$|(?<=^|[\n>])F(?:r(?:om?)?)?$/.exec(text)
    this.#held = held?.[0] ?? ''
    return this.#emit(held ? text.slice(0, held.index) : text)
  }

  /** The rest, and the empty line that ends a message. */
  end(): Buffer {
    const rest = this.#emit(this.#held)
    this.#held = ''
    return Buffer.concat([rest, Buffer.from(this.#last === '\n' ? '\n' : '\n\n')])
  }

  #emit(raw: string): Buffer {
    const text = raw.replaceAll('\r\n', '\n')
    if (text === '') return Buffer.alloc(0)
    const startsLine = this.#lineStart
    const quoted = text.replace(/(^|\n)(>*From )/g, (all, before: string, rest: string) =>
      before === '' && !startsLine ? all : `${before}>${rest}`,
    )
    const newline = text.lastIndexOf('\n')
    this.#lineStart = (newline >= 0 || startsLine) && /^>*$/.test(text.slice(newline + 1))
    this.#last = text.at(-1) ?? '\n'
    return Buffer.from(quoted, 'latin1')
  }
}
