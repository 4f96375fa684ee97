// UIDL, LIST and CAPA replies. A line that makes no sense is counted and left out: one bad line must not hide a maildrop. A
// listing of 100,000 messages is kept as one text and some numbers, not as objects. RFC 1939 sections 5 and 7, RFC 2449 section 5.

import { hash } from 'node:crypto'
import type { Body } from './body.ts'

export interface UidlEntry {
  /** Message number, valid in this session only. */
  readonly number: number
  /** Opaque bytes, one character each (latin1). */
  readonly uidl: string
}

interface Parsed {
  readonly text: string
  readonly length: number
  readonly numbers: Uint32Array
  readonly starts: Uint32Array
  readonly ends: Uint32Array
  readonly malformed: number
}

const MAX_LISTING_BYTES = 64 * 1024 * 1024
/** No maildrop has so many: comparing more than that would stop the whole process for seconds and take its memory. */
const MAX_LISTED = 1_000_000
const MAX_CAPABILITY_BYTES = 64 * 1024
const MAX_NUMBER = 2 ** 31 - 1
const MAX_NUMBER_DIGITS = 10
const MAX_SIZE_DIGITS = 15
/** RFC 1939 says 70; longer ones are seen, and more than this would not fit an index. */
const MAX_UIDL_BYTES = 1_000
/** Number, blank, one character, line end: no line that counts is shorter. */
const MIN_LINE_BYTES = 4
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const DELETE = 0x7f

/** The reply grew beyond all measure; the message says which, as the end of a sentence. */
export class ListingTooLong extends Error {
  override readonly name = 'ListingTooLong'
}

/** A UIDL reply, in the order of its lines. It is taken apart when an entry is first asked for, which a known digest saves. */
export class UidlListing implements Iterable<UidlEntry> {
  /** SHA-256 of the whole reply: the same again means that not a byte of it has changed. */
  readonly digest: Buffer
  #body: Buffer | undefined
  #parsed: Parsed | undefined

  constructor(body: Buffer) {
    this.#body = body
    this.digest = hash('sha256', body, 'buffer')
  }

  get length(): number {
    return this.#entries.length
  }

  /** Lines that made no sense, or named a number again. */
  get malformed(): number {
    return this.#entries.malformed
  }

  /** Whether a UIDL may begin with this. */
  mentions(prefix: string): boolean {
    return this.#entries.text.includes(` ${prefix}`)
  }

  /** `index` from 0 to length - 1. */
  numberAt(index: number): number {
    return this.#entries.numbers[index] ?? 0
  }

  uidlAt(index: number): string {
    const { text, starts, ends } = this.#entries
    return text.slice(starts[index], ends[index])
  }

  *[Symbol.iterator](): Generator<UidlEntry, void, undefined> {
    for (let i = 0; i < this.length; i += 1) yield { number: this.numberAt(i), uidl: this.uidlAt(i) }
  }

  get #entries(): Parsed {
    this.#parsed ??= parseUidls(this.#body ?? Buffer.alloc(0))
    this.#body = undefined
    return this.#parsed
  }
}

function parseUidls(body: Buffer): Parsed {
  const most = Math.ceil(body.length / MIN_LINE_BYTES)
  const [numbers, starts, ends] = [new Uint32Array(most), new Uint32Array(most), new Uint32Array(most)]
  let length = 0
  let highest = 0
  let known: Set<number> | undefined
  // numbers ascend: only where they do not, those before are looked through
  const isNew = (number: number): boolean => {
    if (number > highest) highest = number
    else known ??= new Set(numbers.subarray(0, length))
    if (known?.has(number)) return false
    known?.add(number)
    return true
  }
  const malformed = eachEntry(body, (number, start, end) => {
    if (end - start > MAX_UIDL_BYTES || hasControl(body, start, end) || !isNew(number)) return false
    numbers[length] = number
    starts[length] = start
    ends[length] = end
    length += 1
    return true
  })
  const cut = (all: Uint32Array): Uint32Array => all.slice(0, length)
  return {
    text: body.toString('latin1'),
    length,
    numbers: cut(numbers),
    starts: cut(starts),
    ends: cut(ends),
    malformed,
  }
}

/** Sizes by message number, as the server claims them; Exchange and others only estimate. Lines that make no sense are left out. */
export function parseSizes(body: Buffer): Map<number, number> {
  const sizes = new Map<number, number>()
  eachEntry(body, (number, start, end) => {
    const stop = digitsEnd(body, start, end)
    const wellFormed = stop > start && stop - start <= MAX_SIZE_DIGITS && (stop === end || body[stop] === SPACE)
    if (!wellFormed || sizes.has(number)) return false
    sizes.set(number, decimal(body, start, stop))
    return true
  })
  return sizes
}

/** Capability names in upper case, with their arguments. */
function parseCapabilities(body: Buffer): Map<string, string[]> {
  const capabilities = new Map<string, string[]>()
  for (const line of body.toString('latin1').split('\n')) {
    const [name, ...rest] = line.trim().split(/\s+/)
    if (name && /^[!-~]+$/.test(name)) capabilities.set(name.toUpperCase(), rest)
  }
  return capabilities
}

/** The whole body of UIDL or LIST. Throws ListingTooLong, and Failure where it breaks off. */
export async function readListing(body: Body): Promise<Buffer> {
  const whole = await readWhole(body, MAX_LISTING_BYTES)
  let lines = 0
  for (let lf = whole.indexOf(LF); lf >= 0; lf = whole.indexOf(LF, lf + 1)) lines += 1
  if (lines > MAX_LISTED) throw new ListingTooLong(`a list of more than ${MAX_LISTED} messages`)
  return whole
}

/** The whole body of CAPA. Throws likewise. */
export const readCapabilities = async (body: Body): Promise<Map<string, string[]>> =>
  parseCapabilities(await readWhole(body, MAX_CAPABILITY_BYTES))

async function readWhole(body: Body, limit: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const batch of body) {
    for (const piece of batch) {
      pieces.push(piece)
      size += piece.length
    }
    if (size > limit) throw new ListingTooLong(`a list of more than ${limit} bytes`)
  }
  return Buffer.concat(pieces, size)
}

/** The first `limit` bytes of a body; the rest is received and thrown away. */
export async function readHead(body: AsyncIterable<Buffer[]>, limit: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const batch of body) {
    for (const piece of batch) {
      pieces.push(piece.subarray(0, limit - size))
      size += pieces.at(-1)?.length ?? 0
    }
    if (size >= limit) break
  }
  return Buffer.concat(pieces, size)
}

/**
 * `take` gets what stands behind number and blank, as a place in `body` without blanks around it, and says whether it makes
 * sense. Returns how many lines do not.
 */
function eachEntry(body: Buffer, take: (number: number, start: number, end: number) => boolean): number {
  let malformed = 0
  let start = 0
  for (let lf = body.indexOf(LF); lf >= 0; lf = body.indexOf(LF, start)) {
    const end = lf > start && body[lf - 1] === CR ? lf - 1 : lf
    const stop = digitsEnd(body, start, end)
    const number = stop - start <= MAX_NUMBER_DIGITS ? decimal(body, start, stop) : 0
    let from = stop
    let to = end
    while (from < to && body[from] === SPACE) from += 1
    while (to > from && body[to - 1] === SPACE) to -= 1
    const numbered = number >= 1 && number <= MAX_NUMBER && from > stop && to > from
    if (!numbered || !take(number, from, to)) malformed += 1
    start = lf + 1
  }
  return malformed
}

function digitsEnd(line: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && isDigit(line[at] ?? 0)) at += 1
  return at
}

function decimal(line: Buffer, start: number, end: number): number {
  let value = 0
  for (let at = start; at < end; at += 1) value = value * 10 + ((line[at] ?? 0) - 0x30)
  return value
}

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39

function hasControl(line: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    const byte = line[at] ?? 0
    if (byte < SPACE || byte === DELETE) return true
  }
  return false
}
