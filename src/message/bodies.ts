// The bodies of a message out of its text parts: which parts are body, format=flowed (RFC 3676), text made of HTML where there is no
// other, and the cut at the limit.

import libmime from 'libmime'
import { decodeText } from './charset.ts'
import type { Part } from './guarded-parser.ts'
import { htmlToText } from './html-text.ts'

const MOST_HTML_TO_CONVERT = 1024 * 1024

/** A text part is body unless it is declared an attachment, or has a file name and is no side of an alternative. */
export function isBody(part: Part): boolean {
  if (part.contentType !== 'text/plain' && part.contentType !== 'text/html') return false
  if (part.disposition.value !== '' && part.disposition.value !== 'inline') return false
  const named = part.disposition.params.has('filename') || part.type.params.has('name')
  return !named || part.parentType === '' || part.alternative !== undefined
}

interface TextPart {
  readonly html: boolean
  readonly text: string
  readonly alternative: object | undefined
}

export class Bodies {
  readonly #parts: TextPart[] = []
  readonly #limitBytes: number
  readonly #taken = { text: 0, html: 0 }
  readonly #notes: Set<string>

  constructor(limitBytes: number, notes: Set<string>) {
    this.#limitBytes = limitBytes
    this.#notes = notes
  }

  /** Reads a text part to its end and keeps of it what the limit leaves. */
  async take(part: Part, bytes: AsyncIterable<Buffer>): Promise<void> {
    const html = part.contentType === 'text/html'
    const kind = html ? 'html' : 'text'
    const kept: Buffer[] = []
    for await (const chunk of bytes) {
      const room = this.#limitBytes - this.#taken[kind]
      if (chunk.length > room) this.#notes.add(`the ${kind} is longer than ${this.#limitBytes} bytes and was cut off`)
      if (room > 0) kept.push(chunk.subarray(0, room))
      this.#taken[kind] += Math.min(chunk.length, Math.max(0, room))
    }
    const text = decodeText(Buffer.concat(kept), part.type.params.get('charset') ?? null)
    this.#parts.push({
      html,
      text: html ? text : flow(part, text.replace(/\r\n?/g, '\n')),
      alternative: part.alternative,
    })
  }

  get text(): string | null {
    const plain = this.#parts.filter(({ html }) => !html)
    // an empty side of an alternative says nothing: senders of HTML leave one behind
    const said = new Set(
      plain.flatMap(({ alternative, text }) => (alternative && text.trim() !== '' ? [alternative] : [])),
    )
    const wanted = this.#parts.flatMap(({ html, text, alternative }) => {
      if (!html) return alternative && !said.has(alternative) ? [] : [text]
      return alternative && said.has(alternative) ? [] : [this.#convert(text)]
    })
    return wanted.length === 0 ? null : this.#store(wanted.join('\n'), 'text')
  }

  get html(): string | null {
    const parts = this.#parts.filter(({ html }) => html)
    return parts.length === 0 ? null : this.#store(parts.map(({ text }) => text).join('<br>\n'), 'html')
  }

  #convert(html: string): string {
    if (html.length > MOST_HTML_TO_CONVERT) this.#notes.add('the text was made of the beginning of the HTML')
    return htmlToText(html.slice(0, MOST_HTML_TO_CONVERT))
  }

  /** Decoded, a text may be longer than it was; Postgres stores no NUL. */
  #store(text: string, kind: 'text' | 'html'): string {
    const clean = text.replaceAll('\0', '').toWellFormed()
    if (Buffer.byteLength(clean) <= this.#limitBytes) return clean
    this.#notes.add(`the ${kind} is longer than ${this.#limitBytes} bytes and was cut off`)
    const bytes = Buffer.from(clean).subarray(0, this.#limitBytes)
    let end = bytes.length
    while (end > 0 && ((bytes[end - 1] ?? 0) & 0xc0) === 0x80) end--
    const last = bytes[end - 1] ?? 0
    const whole = bytes.length - (end - 1) >= (last < 0x80 ? 1 : last < 0xe0 ? 2 : last < 0xf0 ? 3 : 4)
    return bytes.subarray(0, whole ? bytes.length : end - 1).toString('utf8')
  }
}

function flow(part: Part, text: string): string {
  const { params } = part.type
  if (part.contentType !== 'text/plain' || params.get('format')?.toLowerCase() !== 'flowed') return text
  return libmime.decodeFlowed(text, params.get('delsp')?.toLowerCase() === 'yes')
}
