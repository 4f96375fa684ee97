// Header fields out of their raw lines: unfolding, encoded words (RFC 2047), parameters with continuations and charsets (RFC 2231),
// message ids (RFC 5322 section 3.6.4). Raw text has one character per byte, so that each field is decoded by itself.

import { decodeText, isStateful } from './charset.ts'

export interface RawField {
  /** In lower case. */
  readonly key: string
  /** With the name and its folds, one character per byte. */
  readonly line: string
}

const FIELD_CHARS = 64 * 1024

export class Fields {
  readonly #raw = new Map<string, string[]>()

  constructor(fields: readonly RawField[]) {
    for (const { key, line } of fields) {
      const values = this.#raw.get(key)
      const value = line
        .slice(line.indexOf(':') + 1)
        .slice(0, FIELD_CHARS)
        .replace(/\r?\n/g, '')
        .trim()
      if (values) values.push(value)
      else this.#raw.set(key, [value])
    }
  }

  has(name: string): boolean {
    return this.#raw.has(name)
  }

  /** The first one, as it is on the wire but for its folds. */
  raw(name: string): string | undefined {
    return this.#raw.get(name)?.[0]
  }

  all(name: string): readonly string[] {
    return this.#raw.get(name) ?? []
  }

  /** The first one, decoded; '' where there is none. */
  text(name: string): string {
    return decodeField(this.raw(name) ?? '')
  }
}

/** Reads a header block as it lies in bytes, up to its empty line. */
export function readFields(head: Buffer): Fields {
  const text = head.toString('latin1')
  const end = /^\r?\n|\n\r?\n/.exec(text)
  const lines: { key: string; line: string }[] = []
  for (const line of (end ? text.slice(0, end.index) : text).split(/\r?\n/)) {
    const last = lines.at(-1)
    if (/^[ \t]/.test(line) && last) last.line += line
    else lines.push({ key: line.slice(0, line.indexOf(':')).trim().toLowerCase(), line })
  }
  return new Fields(lines)
}

/** Text of an unstructured field: encoded words, and undeclared 8-bit. */
export const decodeField = (raw: string): string => decodeWords(decodeBytes(raw))

const decodeBytes = (raw: string): string =>
  /[\u0080-\u00ff]/.test(raw) && !/[^\u0000-\u00ff]/.test(raw) ? decodeText(Buffer.from(raw, 'latin1'), null) : raw

const WORD = /=\?([^?\s]{1,60})\?([bq])\?([^?]*)\?=/gi

/** Words of the same charset that follow each other are joined before they are decoded: senders cut characters in two. */
export function decodeWords(text: string): string {
  if (!text.includes('=?')) return text
  let out = ''
  let end = 0
  let open: { charset: string; bytes: Buffer[] } | undefined
  const close = (): void => {
    if (open) out += decodeText(Buffer.concat(open.bytes), open.charset)
    open = undefined
  }
  for (const word of text.matchAll(WORD)) {
    const [whole, name = '', encoding = '', payload = ''] = word
    const charset = name.toLowerCase()
    const between = text.slice(end, word.index)
    const adjacent = open !== undefined && /^\s*$/.test(between)
    if (!adjacent || open?.charset !== charset || isStateful(charset)) close()
    if (!adjacent) out += between
    const bytes = encoding.toLowerCase() === 'b' ? Buffer.from(payload, 'base64') : unquote(payload)
    if (open) open.bytes.push(bytes)
    else open = { charset, bytes: [bytes] }
    end = word.index + whole.length
  }
  close()
  return out + text.slice(end)
}

const unquote = (payload: string): Buffer => percent(payload.replaceAll('_', ' '), /=([0-9a-f]{2})/gi)

/** Octets that `escape` finds as two hexadecimal digits; everything else stays the byte or the character it is. */
function percent(text: string, escape: RegExp): Buffer {
  const latin1 = /[^\u0000-\u00ff]/.test(text) ? Buffer.from(text).toString('latin1') : text
  return Buffer.from(
    latin1.replace(escape, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
    'latin1',
  )
}

export interface Structured {
  /** In lower case, without comments. */
  readonly value: string
  readonly params: ReadonlyMap<string, string>
}

const MAX_PARAMS = 200

/** `value; name=token; name="quoted"; name*0*=utf-8''...`. A parameter given twice keeps its first value. */
export function readStructured(raw: string): Structured {
  const [value = '', ...rest] = segments(raw)
  const plain = new Map<string, string>()
  const pieces = new Map<string, { index: number; encoded: boolean; text: string }[]>()
  for (const segment of rest.slice(0, MAX_PARAMS)) {
    const cut = segment.indexOf('=')
    if (cut < 1) continue
    const name = segment.slice(0, cut).trim().toLowerCase()
    const text = unquoteToken(segment.slice(cut + 1).trim())
    const [, base, index, encoded] = /^([^*]+)(?:\*(\d{1,3}))?(\*)?$/.exec(name) ?? []
    if (base === undefined) continue
    if (index === undefined && encoded === undefined) {
      if (!plain.has(base)) plain.set(base, decodeField(text))
      continue
    }
    const piece = { index: Number(index ?? 0), encoded: encoded !== undefined, text }
    const found = pieces.get(base)
    if (found) found.push(piece)
    else pieces.set(base, [piece])
  }
  for (const [name, found] of pieces) plain.set(name, joinPieces(found))
  return { value: value.trim().toLowerCase(), params: plain }
}

function joinPieces(pieces: { index: number; encoded: boolean; text: string }[]): string {
  const sorted = pieces.toSorted((a, b) => a.index - b.index)
  const [, charset, first] = (sorted[0]?.encoded && /^([^']*)'[^']*'([^]*)$/.exec(sorted[0].text)) || []
  if (charset === undefined && !sorted.some(({ encoded }) => encoded)) {
    return decodeField(sorted.map(({ text }) => text).join(''))
  }
  const bytes = sorted.map(({ encoded, text }, i) => {
    const own = i === 0 ? (first ?? text) : text
    return encoded ? percent(own, /%([0-9a-f]{2})/gi) : Buffer.from(own, 'latin1')
  })
  return decodeText(Buffer.concat(bytes), charset || null)
}

/** Cuts at semicolons outside of quotes and drops comments. A quote or a bracket that is never closed counts as a letter. */
function segments(raw: string): string[] {
  const text = raw.replace(/\s+/g, ' ')
  const lastQuote = text.lastIndexOf('"')
  const lastBracket = text.lastIndexOf(')')
  const found: string[] = []
  let pieces: string[] = []
  let start = 0
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (character === ';') {
      found.push(pieces.join('') + text.slice(start, i))
      pieces = []
      start = i + 1
    } else if (character === '"' && i < lastQuote) i = closing(text, i)
    else if (character === '(' && i < lastBracket && (i === start || text[i - 1] === ' ')) {
      pieces.push(text.slice(start, i))
      i = commentEnd(text, i, lastBracket)
      start = i + 1
    }
  }
  found.push(pieces.join('') + text.slice(start))
  return found
}

function closing(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '"') return i
  }
  return text.length - 1
}

function commentEnd(text: string, start: number, last: number): number {
  let depth = 0
  for (let i = start; i <= last; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '(') depth++
    else if (text[i] === ')' && --depth === 0) return i
  }
  return last
}

function unquoteToken(text: string): string {
  if (!text.startsWith('"')) return text
  const end = closing(text, 0)
  return text.slice(1, end > 0 && text[end] === '"' ? end : undefined).replace(/\\(["\\])/g, '$1')
}

const ID = /<[^<>\s\u0000-\u001f]{1,990}>/g

/** No line is longer (RFC 5322 section 2.1.1); what is, would fit no index. */
const MAX_ID_BYTES = 998

export const isMessageId = (id: string): boolean => Buffer.byteLength(id) <= MAX_ID_BYTES

/** All message ids in these values, in their order, each once. */
export const messageIds = (values: readonly string[]): string[] => [
  ...new Set(values.flatMap((value) => decodeBytes(value).match(ID) ?? []).filter(isMessageId)),
]
