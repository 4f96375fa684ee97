// UIDL, LIST and CAPA replies, read line by line as they come. A line that makes no sense is counted and left out: one bad line
// must not hide a maildrop. RFC 1939 sections 5 and 7, RFC 2449 section 5.

import type { Body } from './body.ts'

export interface UidlEntry {
  readonly number: number
  /** Opaque bytes, one character each (latin1). */
  readonly uidl: string
}

export interface SizeEntry {
  readonly number: number
  /** As the server claims; Exchange and others only estimate it. */
  readonly sizeBytes: number
}

export interface Listing<T> {
  readonly entries: T[]
  readonly malformed: number
}

export const MAX_LISTING_BYTES = 64 * 1024 * 1024
const MAX_LINE_BYTES = 8 * 1024
const MAX_NUMBER = 2 ** 31
const MAX_NUMBER_DIGITS = 10
const MAX_SIZE_DIGITS = 15
/** RFC 1939 says 70; longer ones are seen, and more than this would not fit an index. */
const MAX_UIDL_BYTES = 1_000
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20

/** The listing grew beyond all measure. */
export class ListingTooLong extends Error {
  override readonly name = 'ListingTooLong'
}

/** Throws ListingTooLong, and Failure where the body breaks off. */
export const readUidls = (body: Body): Promise<Listing<UidlEntry>> =>
  readEntries(body, (line, number, start, end) =>
    end - start > MAX_UIDL_BYTES || hasControl(line, start, end)
      ? undefined
      : { number, uidl: line.toString('latin1', start, end) },
  )

/** Throws ListingTooLong, and Failure where the body breaks off. */
export const readSizes = (body: Body): Promise<Listing<SizeEntry>> =>
  readEntries(body, (line, number, start, end) => {
    const stop = digitsEnd(line, start, end)
    const wellFormed = stop > start && stop - start <= MAX_SIZE_DIGITS && (stop === end || line[stop] === SPACE)
    return wellFormed ? { number, sizeBytes: decimal(line, start, stop) } : undefined
  })

/** Capability names in upper case, with their arguments. */
export async function readCapabilities(body: Body): Promise<Map<string, string[]>> {
  const capabilities = new Map<string, string[]>()
  await eachLine(body, (line, start, end) => {
    const [name, ...rest] = line.toString('latin1', start, end).trim().split(/\s+/)
    if (name && /^[!-~]+$/.test(name)) capabilities.set(name.toUpperCase(), rest)
  })
  return capabilities
}

/** The whole body. Throws ListingTooLong, and Failure where it breaks off. */
export async function readWhole(body: Body): Promise<Buffer> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const batch of body) {
    for (const piece of batch) {
      pieces.push(piece)
      size += piece.length
    }
    if (size > MAX_LISTING_BYTES) throw new ListingTooLong()
  }
  return Buffer.concat(pieces, size)
}

/** `parse` gets what stands behind number and space, without blanks around it. */
async function readEntries<T>(
  body: Body,
  parse: (line: Buffer, number: number, start: number, end: number) => T | undefined,
): Promise<Listing<T>> {
  const entries: T[] = []
  let malformed = 0
  await eachLine(body, (line, start, end) => {
    const stop = digitsEnd(line, start, end)
    const number = stop - start <= MAX_NUMBER_DIGITS ? decimal(line, start, stop) : 0
    let from = stop
    let to = end
    while (from < to && line[from] === SPACE) from += 1
    while (to > from && line[to - 1] === SPACE) to -= 1
    const separated = from > stop && to > from
    const entry = separated && number >= 1 && number <= MAX_NUMBER ? parse(line, number, from, to) : undefined
    if (entry === undefined) malformed += 1
    else entries.push(entry)
  })
  return { entries, malformed }
}

/** Lines are given as places in a buffer, without their line end; an over-long one as an empty line. */
async function eachLine(body: Body, take: (chunk: Buffer, start: number, end: number) => void): Promise<void> {
  let carried: Buffer[] = []
  let carriedBytes = 0
  let total = 0
  for await (const batch of body) {
    for (const chunk of batch) {
      total += chunk.length
      let start = 0
      for (let lf = chunk.indexOf(LF); lf >= 0; lf = chunk.indexOf(LF, start)) {
        const whole = carriedBytes === 0 ? chunk : Buffer.concat([...carried, chunk.subarray(0, lf)])
        const from = carriedBytes === 0 ? start : 0
        const to = carriedBytes === 0 ? lf : whole.length
        if (carriedBytes + lf - start > MAX_LINE_BYTES) take(chunk, lf, lf)
        else take(whole, from, to > from && whole[to - 1] === CR ? to - 1 : to)
        carried = []
        carriedBytes = 0
        start = lf + 1
      }
      if (start === chunk.length) continue
      carriedBytes += chunk.length - start
      if (carriedBytes <= MAX_LINE_BYTES) carried.push(chunk.subarray(start))
    }
    if (total > MAX_LISTING_BYTES) throw new ListingTooLong()
  }
}

function digitsEnd(line: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && isDigit(line[at])) at += 1
  return at
}

function decimal(line: Buffer, start: number, end: number): number {
  let value = 0
  for (let at = start; at < end; at += 1) value = value * 10 + ((line[at] ?? 0) - 0x30)
  return value
}

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39

function hasControl(line: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    const byte = line[at] ?? 0
    if (byte < SPACE || byte === 0x7f) return true
  }
  return false
}
