// The renumbering guard: a mailbox that was moved lists its old messages under new UIDLs, and nothing may be imported twice.
// Pure: whether a listing is suspicious, and what a sample of it says.

import { createHash } from 'node:crypto'
import { DAY_MS } from '../base/clock.ts'
import type { Summary } from '../base/summary.ts'

export interface ListingChange {
  /** Messages in the listing. */
  readonly listed: number
  /** Of those, listed under UIDLs of which nothing was retrieved. */
  readonly unknown: number
  /** Messages that were retrieved and have left the listing, now or within the last weeks. */
  readonly vanished: number
}

const AT_LEAST = 50
const SHARE = 0.2
/** So much of a sample must be explained, or somebody is asked. */
const SURE = 0.95
/** A message dated that long before the last poll, or less, may well have come since. */
const STILL_NEW_MS = 2 * DAY_MS

/** Too many unknown messages for ordinary new mail, while known ones have gone. */
export const suspicious = ({ listed, unknown, vanished }: ListingChange): boolean =>
  unknown > AT_LEAST && unknown > SHARE * listed && vanished > SHARE * unknown

/** Message numbers spread evenly over all that are unknown. */
export function sampleOf<T>(unknown: readonly T[], size: number): T[] {
  if (unknown.length <= size) return [...unknown]
  return Array.from({ length: size }, (_, i) => unknown[Math.floor((i * unknown.length) / size)]).filter(
    (item): item is T => item !== undefined,
  )
}

export interface Sampled {
  /** Its fingerprint is that of a message that has gone from the listing. */
  readonly matched: boolean
  /** Its Date header. */
  readonly dateAt: Date | null
}

/**
 * 'adopt': it is the old mail, or the old mail and some new; each message is compared before it is retrieved. 'ask': neither
 * old nor new, such as the mailbox of somebody else.
 */
export function judge(sample: readonly Sampled[], lastPollAt: Date | null): 'adopt' | 'ask' {
  const newSince = lastPollAt === null ? Infinity : lastPollAt.getTime() - STILL_NEW_MS
  const explained = sample.filter(({ matched, dateAt }) => matched || (dateAt !== null && dateAt.getTime() >= newSince))
  return explained.length >= SURE * sample.length ? 'adopt' : 'ask'
}

const FINGERPRINT_BYTES = 16

/**
 * What recognises a message under another UIDL: a hash of its Message-ID, Date, From and Subject. null: nothing to go by. Without
 * Message-ID and Date all alarms of a machine would be one message.
 */
export function fingerprintOf({ internetMessageId, dateAt, fromAddress, subject }: Summary): Buffer | null {
  if (internetMessageId === null && dateAt === null) return null
  const text = [internetMessageId ?? '', dateAt?.getTime() ?? '', fromAddress ?? '', subject ?? ''].join('\n')
  return createHash('sha256').update(text).digest().subarray(0, FINGERPRINT_BYTES)
}
