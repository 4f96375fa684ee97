// The one language of filters, of the interface, the command line and the pages: `status:deferred account:info@ rechnung`. Words
// with a colon narrow by a field, in German or in English; the others are looked for. Pure.

import { UserError } from '../base/failure.ts'
import { HOLD_REASONS, OUTBOUND_STATES, type HoldReason, type OutboxFilter } from '../db/outbox.ts'
import type { InboxFilter } from '../db/inbox.ts'
import type { OutboundState } from '../db/schema-outbound.ts'
import { parseWhen } from './when.ts'

const MOST_TERMS = 20

/** Each field by all its names, the English one first. */
const FIELDS = {
  status: ['status', 'zustand', 'state'],
  account: ['account', 'konto'],
  from: ['from', 'von'],
  to: ['to', 'an'],
  subject: ['subject', 'betreff'],
  flag: ['flag', 'ursache', 'cause'],
  reason: ['reason', 'grund'],
  attachment: ['attachment', 'anhang'],
  message_id: ['msgid', 'message-id'],
  key: ['key', 'schlüssel'],
  larger: ['larger', 'größer'],
  since: ['since', 'seit', 'after', 'nach'],
  before: ['before', 'bis', 'vor'],
  provider: ['provider', 'anbieter'],
  app: ['app'],
  id: ['id', 'nr'],
} as const satisfies Record<string, readonly string[]>
export type Field = keyof typeof FIELDS

export const OUTBOX_FIELDS = [
  'status',
  'account',
  'to',
  'subject',
  'flag',
  'reason',
  'message_id',
  'key',
  'since',
  'before',
  'id',
] as const
export const INBOX_FIELDS = [
  'status',
  'account',
  'from',
  'to',
  'subject',
  'reason',
  'attachment',
  'message_id',
  'larger',
  'since',
  'before',
] as const
export const ACCOUNT_FIELDS = ['status', 'flag', 'provider', 'app'] as const

export interface Term {
  readonly field: Field
  readonly value: string
}

export interface ParsedFilter {
  readonly terms: readonly Term[]
  /** What is left: words to look for. */
  readonly words: string
}

const wrong = (sentence: string): UserError => new UserError(`filter: ${sentence}`, { exitCode: 2 })

/** Throws UserError for a field that is not one of these, and for one without a value. */
export function parseFilter(text: string, fields: readonly Field[]): ParsedFilter {
  const terms: Term[] = []
  const words: string[] = []
  const names = new Map(fields.flatMap((field) => FIELDS[field].map((name) => [name as string, field] as const)))
  for (const [whole, name, quoted, plain] of text.matchAll(/([\p{L}-]+):(?:"([^"]*)"|(\S*))|-?"[^"]*"|\S+/gu)) {
    const field = name === undefined ? undefined : names.get(name.toLowerCase())
    if (name === undefined || whole.startsWith('-')) words.push(whole)
    else if (field) terms.push({ field, value: valueOf(name, quoted ?? plain ?? '') })
    else if (Object.values(FIELDS).some((all) => (all as readonly string[]).includes(name.toLowerCase())))
      throw wrong(`"${name}:" does not narrow this list; what does: ${fields.map((one) => FIELDS[one][0]).join(', ')}`)
    else words.push(whole) // "Re:" and "http://" are words
    if (terms.length > MOST_TERMS) throw wrong(`has more than ${MOST_TERMS} conditions`)
  }
  return { terms, words: words.join(' ').trim() }
}

function valueOf(name: string, value: string): string {
  if (value.trim() === '') throw wrong(`"${name}:" has no value behind the colon`)
  return value.trim()
}

const all = (terms: readonly Term[], field: Field): string[] =>
  terms.filter((term) => term.field === field).map(({ value }) => value)
const last = (terms: readonly Term[], field: Field): string | undefined => all(terms, field).at(-1)

function instantOf(terms: readonly Term[], field: 'since' | 'before', now: Date): Date | undefined {
  const value = last(terms, field)
  if (value === undefined) return undefined
  const at = parseWhen(value)
  if (!at)
    throw wrong(
      `"${value}" is not a time; write 2026-11-23, 23.11.2026, 2026-11-23T08:00Z, 7d, 12h, today or yesterday`,
    )
  return at(now)
}

const plain = (word: string): string => word.toLowerCase().replaceAll(' ', '_')

/** German names of states, as the pages show them. */
const STATES: Readonly<Record<string, readonly OutboundState[]>> = {
  geplant: ['scheduled'],
  wartet: ['queued'],
  wird_gesendet: ['sending'],
  zurückgestellt: ['deferred'],
  angehalten: ['held'],
  ungewiss: ['uncertain'],
  übergeben: ['sent'],
  teilweise: ['partial'],
  abgelehnt: ['failed'],
  abgelaufen: ['expired'],
  rückläufer: ['bounced'],
  storniert: ['cancelled'],
  open: ['scheduled', 'queued', 'sending', 'deferred', 'held', 'uncertain'],
  offen: ['scheduled', 'queued', 'sending', 'deferred', 'held', 'uncertain'],
  final: ['sent', 'partial', 'failed', 'expired', 'bounced', 'cancelled'],
  abgeschlossen: ['sent', 'partial', 'failed', 'expired', 'bounced', 'cancelled'],
}

function statesOf(terms: readonly Term[]): OutboundState[] | undefined {
  const words = all(terms, 'status').flatMap((value) => value.split(','))
  if (words.length === 0) return undefined
  return words.flatMap((word) => {
    const named = OUTBOUND_STATES.find((state) => state === plain(word))
    const found = named ? [named] : STATES[plain(word)]
    if (!found) throw wrong(`"${word}" is not a state; there are ${OUTBOUND_STATES.join(', ')}, open, final`)
    return [...found]
  })
}

/** `accountId` finds an account by id or e-mail address, and throws where there is none. */
export interface Resolver {
  readonly now: Date
  readonly accountId: (name: string) => Promise<number>
}

export async function outboxFilterOf(text: string, { now, accountId }: Resolver): Promise<OutboxFilter> {
  const { terms, words } = parseFilter(text, OUTBOX_FIELDS)
  const account = last(terms, 'account')
  const reasons = all(terms, 'reason').flatMap((value) => value.split(','))
  const unknown = reasons.find((reason) => !HOLD_REASONS.includes(reason as HoldReason))
  if (unknown !== undefined) throw wrong(`"${unknown}" is not a reason; there are ${HOLD_REASONS.join(', ')}`)
  const ids = all(terms, 'id').flatMap((value) => value.split(',').map(Number))
  if (ids.some((id) => !Number.isSafeInteger(id))) throw wrong('"id:" takes numbers')
  const subject = [last(terms, 'subject'), words].filter(Boolean).join(' ')
  return {
    ...(ids.length > 0 && { ids }),
    ...(account !== undefined && { accountId: await accountId(account) }),
    states: statesOf(terms),
    ...(reasons.length > 0 && { holdReasons: reasons as HoldReason[] }),
    flag: last(terms, 'flag'),
    recipient: last(terms, 'to')?.replace(/^@/, ''),
    ...(subject !== '' && { subject }),
    messageId: last(terms, 'message_id'),
    idempotencyKey: last(terms, 'key'),
    since: instantOf(terms, 'since', now),
    before: instantOf(terms, 'before', now),
  }
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 }

function bytesOf(value: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:[.,]\d+)?)\s*([kmg]?)i?b?$/i.exec(value) ?? []
  if (number === '') throw wrong(`"${value}" is not a size; write 500k, 10MB or 2G`)
  return Number(number.replace(',', '.')) * (UNITS[unit.toLowerCase()] ?? 1)
}

const INBOX_STATES: Readonly<Record<string, Partial<InboxFilter>>> = {
  pending: { state: 'pending' },
  parsed: { state: 'parsed' },
  quarantined: { state: 'quarantined' },
  oversize: { incomplete: true },
  übergroß: { incomplete: true },
  quarantäne: { state: 'quarantined' },
  aufbereitet: { state: 'parsed' },
  new: { unacknowledged: true },
  neu: { unacknowledged: true },
  unacknowledged: { unacknowledged: true },
}
const YES = ['yes', 'ja', 'true']

export async function inboxFilterOf(text: string, { now, accountId }: Resolver): Promise<InboxFilter> {
  const { terms, words } = parseFilter(text, INBOX_FIELDS)
  const account = last(terms, 'account')
  const status = last(terms, 'status')
  const narrowed = status === undefined ? {} : INBOX_STATES[plain(status)]
  if (!narrowed) throw wrong(`"${status}" is not a state; there are pending, parsed, quarantined, new`)
  const attachment = last(terms, 'attachment')
  const larger = last(terms, 'larger')
  return {
    ...narrowed,
    ...(account !== undefined && { accountId: await accountId(account) }),
    from: last(terms, 'from'),
    to: last(terms, 'to'),
    subject: last(terms, 'subject'),
    reason: last(terms, 'reason'),
    ...(attachment !== undefined && { hasAttachment: YES.includes(attachment.toLowerCase()) }),
    messageId: last(terms, 'message_id'),
    ...(larger !== undefined && { largerThan: bytesOf(larger) }),
    since: instantOf(terms, 'since', now),
    before: instantOf(terms, 'before', now),
    ...(words !== '' && { search: words }),
  }
}

const LAMP_STATES: Readonly<Record<string, string>> = {
  new: 'new',
  neu: 'new',
  ok: 'ok',
  late: 'late',
  verspätet: 'late',
  failing: 'failing',
  gestört: 'failing',
  blocked: 'blocked',
  gesperrt: 'blocked',
  paused: 'paused',
  angehalten: 'paused',
}

export interface AccountFilter {
  readonly states: readonly string[]
  readonly flag: string | undefined
  readonly provider: string | undefined
  readonly app: string | undefined
  readonly words: string
}

export function accountFilterOf(text: string): AccountFilter {
  const { terms, words } = parseFilter(text, ACCOUNT_FIELDS)
  const states = all(terms, 'status')
    .flatMap((value) => value.split(','))
    .map((word) => {
      const state = LAMP_STATES[plain(word)]
      if (state === undefined)
        throw wrong(`"${word}" is not a state; there are new, ok, late, failing, blocked, paused`)
      return state
    })
  return { states, flag: last(terms, 'flag'), provider: last(terms, 'provider'), app: last(terms, 'app'), words }
}
