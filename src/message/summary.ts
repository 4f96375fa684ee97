// The header summary stored beside the raw bytes: enough to list and find a message. It never fails: what cannot be read is
// null, and the raw bytes stay the truth. Full parsing is another, failable step.

import type { Summary } from '../base/summary.ts'
import { decodeText } from './charset.ts'
import { decodeWords, isMessageId } from './fields.ts'

/** No header of interest begins later; a longer header block is cut there. */
export const HEADER_LIMIT_BYTES = 64 * 1024

const FIELD_LIMIT = 2_000
const WANTED = new Set(['message-id', 'date', 'from', 'to', 'subject'])

/** `head`: the first bytes of the message, at least up to the empty line or HEADER_LIMIT_BYTES of them. */
export function summarise(head: Buffer): Summary {
  const fields = headerFields(head)
  const from = splitAddress(fields.get('from') ?? '')
  const id = /<[^<>\s]{1,990}>/.exec(fields.get('message-id') ?? '')?.[0]
  return {
    internetMessageId: id !== undefined && isMessageId(id) ? clean(id) : null,
    dateAt: parseDate(fields.get('date') ?? ''),
    fromAddress: clean(from.address),
    fromName: clean(decode(from.name)),
    toAddresses: clean(decode(fields.get('to'))),
    subject: clean(decode(fields.get('subject'))),
  }
}

/** The first occurrence of each wanted field, unfolded, as text. */
function headerFields(head: Buffer): Map<string, string> {
  // one character per byte: each field is decoded by itself, so that one in another charset does not spoil the others
  const bytes = head.subarray(0, HEADER_LIMIT_BYTES).toString('latin1')
  const end = /^\r?\n|\n\r?\n/.exec(bytes)
  const block = end ? bytes.slice(0, end.index) : bytes
  const fields = new Map<string, string>()
  for (const line of block.replace(/(?:\r?\n[ \t]+)+/g, ' ').split(/\r?\n/)) {
    const colon = line.indexOf(':')
    if (colon < 2 || colon > 20) continue
    const name = line.slice(0, colon).trimEnd().toLowerCase()
    if (WANTED.has(name) && !fields.has(name))
      fields.set(
        name,
        text(line.slice(colon + 1))
          .trim()
          .slice(0, FIELD_LIMIT * 4),
      )
  }
  return fields
}

/** Undeclared 8-bit is UTF-8 where it is valid, else windows-1252: what senders in this part of the world mean by it. */
const text = (latin1: string): string => decodeText(Buffer.from(latin1, 'latin1'), null)

const DATE_AND_TIME =
  /\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[^:]{1,20}\d:\d\d|\b\d{4}-\d\d-\d\dT\d\d:\d\d/i
const ENDS_WITHOUT_ZONE = /[ T]\d?\d:\d\d(?::\d\d)?(?: \d{4})?$/

/** RFC 5322 section 3.3 and what else is seen in the wild; without a zone it is UTC (section 4.3), not the zone of this machine. */
function parseDate(value: string): Date | null {
  if (!DATE_AND_TIME.test(value)) return null // JavaScript finds a date in almost any text
  const date = new Date(ENDS_WITHOUT_ZONE.test(value) ? `${value} +0000` : value)
  const year = date.getUTCFullYear()
  // outside of these years PostgreSQL and people have trouble; such a date is somebody's mistake
  return year >= 1970 && year <= 9999 ? date : null
}

const decode = (value: string | undefined): string | undefined => (value === undefined ? undefined : decodeWords(value))

/** A quoted name may hold anything, brackets as well; where quotes do not match they count as letters. */
const NAME_AND_ADDRESS = /^((?:"(?:[^"\\]|\\.)*"|[^"<])*)<([^<>]{1,400})>/
const ANY_NAME_AND_ADDRESS = /^(.{0,1000}?)<([^<>]{1,400})>/

function splitAddress(value: string): { name: string | undefined; address: string | undefined } {
  const [, name, address] = NAME_AND_ADDRESS.exec(value) ?? ANY_NAME_AND_ADDRESS.exec(value) ?? []
  if (address !== undefined) return { name: unquote(name?.trim() ?? ''), address: address.trim() }
  return { name: undefined, address: /[^\s<>(),;:"]{1,300}@[^\s<>(),;:"]{1,300}/.exec(value)?.[0] }
}

const unquote = (name: string): string => /^"(.*)"$/.exec(name)?.[1]?.replace(/\\(.)/g, '$1') ?? name

// Postgres stores no NUL, and control characters have no business in a list
const clean = (value: string | undefined): string | null =>
  value
    ?.replace(/[\u0000-\u001f\u007f]+/g, ' ')
    .trim()
    .slice(0, FIELD_LIMIT) || null
