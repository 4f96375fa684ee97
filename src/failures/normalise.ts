// What a refusal says, as facts that rules can match: reply code, enhanced code (RFC 3463), response code (RFC 2449 section 8),
// OAuth error (RFC 6749 section 5.2), AADSTS numbers, and the words without white space, host names, ids and time stamps.

import type { Provider, Refusal, Stage } from '../base/failure.ts'

export interface Facts {
  readonly provider: Provider
  readonly stage: Stage
  readonly step?: string
  readonly httpStatus?: number
  /** The system's code; where none was given, what looks like one in a text that no server sent. */
  readonly errorCodes: readonly string[]
  readonly oauthError?: string
  readonly errorSubtype?: string
  /** AADSTS numbers, the most specific last. */
  readonly aadsts: readonly number[]
  readonly tag?: string
  readonly code?: number
  readonly replyClass?: '4' | '5'
  readonly enhanced?: string
  readonly text: string
}

/** More than any reply needs; it bounds the time the patterns take. */
const MAX_CHARS = 8 * 1024
const MAX_NUMBERS = 16
/** A body beyond that is no token answer. */
const MAX_JSON_CHARS = 64 * 1024

export function factsOf(refusal: Refusal): Facts {
  const { provider, stage, step, httpStatus, reply } = refusal
  const about = { provider, stage, ...(step && { step }), ...(httpStatus !== undefined && { httpStatus }) }
  const token = stage === 'token' ? readToken(reply) : undefined
  const text = plain(token?.words ?? reply)
  const ofServer = token !== undefined || /^(?:[+*-]|[2-5]\d\d[ -]|<)/.test(text)
  const codes = refusal.errorCode ? [refusal.errorCode] : ofServer ? [] : (text.match(/\b[A-Z][A-Z\d_]{4,60}\b/g) ?? [])
  const said = { ...about, errorCodes: codes, aadsts: token?.aadsts ?? [], text }
  if (token) return { ...said, ...token.facts }
  if (stage === 'token') return { ...said, aadsts: numbersIn(text) }
  return { ...said, ...(stage === 'smtp' ? smtpFacts(text) : popFacts(text)) }
}

interface TokenReply {
  readonly words: string
  readonly aadsts: readonly number[]
  readonly facts: { readonly oauthError?: string; readonly errorSubtype?: string }
}

/** The members of an error body; undefined where the text is none. */
export function parseTokenError(body: string): Record<string, unknown> | undefined {
  const json = body.trim()
  if (!json.startsWith('{') || json.length > MAX_JSON_CHARS) return undefined
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && 'error' in value ? { ...value } : undefined
  } catch {
    return undefined
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

function readToken(body: string): TokenReply | undefined {
  const members = parseTokenError(body)
  if (!members) return undefined
  // Google's other APIs answer {"error": {"status": ..., "message": ...}}.
  const nested: Record<string, unknown> = typeof members['error'] === 'object' ? { ...members['error'] } : {}
  const error = textOf(members['error']) || textOf(nested['status'])
  const description = textOf(members['error_description']) || textOf(nested['message'])
  const subtype = textOf(members['error_subtype']) || textOf(members['suberror'])
  const codes: unknown[] = Array.isArray(members['error_codes']) ? members['error_codes'] : []
  const numbers = codes
    .slice(-MAX_NUMBERS)
    .map(Number)
    .filter((code) => Number.isInteger(code) && code > 0)
  return {
    words: `${error}: ${description}`,
    aadsts: [...numbersIn(description.slice(0, MAX_CHARS)), ...numbers],
    facts: {
      ...(error && { oauthError: error.toLowerCase() }),
      ...(subtype && { errorSubtype: subtype.toLowerCase() }),
    },
  }
}

const numbersIn = (text: string): number[] =>
  [...text.matchAll(/\bAADSTS(\d{4,9})\b/gi)].map(([, digits]) => Number(digits))

/** Everything that differs between two refusals of one cause is taken away. Linear in the length: quantifiers are bounded. */
export function plain(raw: string): string {
  return raw
    .slice(0, MAX_CHARS)
    .replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ')
    .replace(/\[(?=[^\]]{0,255}[.:=])[\w.:=-]{1,255}(?: [\w.:-]{1,60}){0,3}\]/g, '')
    .replace(/ [\w.-]{1,80} - gsmtp\b/gi, '')
    .replace(/\b[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}\b/gi, '')
    .replace(/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?Z?/gi, '')
    .replace(/\b(?:(?:trace|correlation|request) id|timestamp):/gi, '')
    .replace(/ {2,}/g, ' ')
    .trim()
}

function popFacts(text: string): Partial<Facts> {
  const tag = /(?:^| )-ERR \[([A-Z/-]{2,20})\]/i.exec(text)?.[1]
  return tag ? { tag: tag.toUpperCase() } : {}
}

const ENHANCED = '[245]\\.\\d{1,3}\\.\\d{1,3}'
const START = new RegExp(`^([2-5]\\d\\d)(?:[ -]|$)(?:(${ENHANCED})\\b)?`)
/** A reply quoted inside other words, as in nodemailer's "Invalid login: 535 5.7.8 ...". */
const QUOTED = new RegExp(`\\b([45]\\d\\d)[ -](${ENHANCED})\\b`)
const INNER_LOGIN = new RegExp(`\\b(535)[ -](${ENHANCED})\\b`)

function smtpFacts(text: string): Partial<Facts> {
  const outer = START.exec(text) ?? QUOTED.exec(text)
  // Exchange answers MAIL with a 530 5.7.57 around the 535 that the login got: that one is the cause.
  const inner = outer?.[1] === '530' || /^5\.7\.57\b/.test(text) ? INNER_LOGIN.exec(text) : null
  const found = inner ?? outer
  const enhanced = found?.[2] ?? new RegExp(`^${ENHANCED}\\b`).exec(text)?.[0]
  const first = (found?.[1] ?? enhanced)?.[0]
  // Every line of a multi-line reply repeats the codes.
  const repeated = outer?.[1] ? new RegExp(` ${outer[1]}[ -](?:${ENHANCED} )?`, 'g') : undefined
  return {
    text: repeated ? text.replace(repeated, ' ').replace(/ {2,}/g, ' ') : text,
    ...(found?.[1] && { code: Number(found[1]) }),
    ...((first === '4' || first === '5') && { replyClass: first }),
    ...(enhanced && { enhanced }),
  }
}
