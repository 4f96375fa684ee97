// Takes secrets out of what is shown, logged and stored, and makes of a reply the one line an operator can read.

import type { Refusal } from '../base/failure.ts'
import { parseTokenError } from './normalise.ts'

const MASK = '***'
const MAX_CHARS = 1_000
/** What is read of a reply; the rest cannot come into the line. */
const READ_CHARS = 16 * 1024

const SECRET_NAMES =
  'password|passwd|client_secret|client_assertion|assertion|refresh_token|access_token|id_token|device_code|code|code_verifier'

const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [new RegExp(`("(?:${SECRET_NAMES})\\\\{0,4}"\\s{0,8}:\\s{0,8}\\\\{0,4}")(?:[^"\\\\]|\\\\.)*`, 'gi'), `$1${MASK}`],
  [new RegExp(`(\\b(?:${SECRET_NAMES})=)[^&\\s"'<>]+`, 'gi'), `$1${MASK}`],
  [/(?<![a-z])(auth(?:orization)?\s{0,3}[:=]\s{0,3}(?:Bearer|Basic)\s{1,3})[^\s"',;]+/gi, `$1${MASK}`],
  [/\b(Bearer\s{1,3})[\w.~+/=-]{16,}/gi, `$1${MASK}`],
  [/\b(AUTH\s{1,3}(?:XOAUTH2|PLAIN|LOGIN|OAUTHBEARER)\s{1,3})[\w+/=-]{8,}/gi, `$1${MASK}`],
  [/\b(PASS\s{1,3})\S.*/g, `$1${MASK}`],
  [/\bey[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)*/gi, MASK],
  [/\bya29\.[\w.~+/=-]+/gi, MASK],
  [/\b[01]\.A[\w-]{20,}(?:\.[\w-]+)*/g, MASK],
  [/\b1\/\/[\w-]{10,}/g, MASK],
  [/\bM\.[CR]\d{1,6}_[\w.!*$-]{20,}/g, MASK],
]

/** No word is as long; Microsoft's own names, as OnPremisePasswordValidationAccountLogonInvalidHours, are told by their humps. */
const LONG_RUN = /[\w+/-]{40,}={0,2}/g
const isName = (run: string): boolean => /^[A-Z]?[a-z]+(?:[A-Z][a-z]+)*$/.test(run)

/** Only the first 16 Ki characters are looked at, and no more is given back. */
export function maskSecrets(text: string): string {
  let masked = beginningOf(text)
  for (const [pattern, replacement] of PATTERNS) masked = masked.replace(pattern, replacement)
  return masked.replace(LONG_RUN, (run) => (isName(run) ? run : MASK))
}

/** Cut between words: half a secret could not be told from a word. */
function beginningOf(text: string): string {
  if (text.length <= READ_CHARS) return text
  const cut = text.slice(0, READ_CHARS)
  const end = Math.max(cut.lastIndexOf(' '), cut.lastIndexOf('\n'), cut.lastIndexOf('&'))
  return end < 0 ? cut : cut.slice(0, end)
}

/** One masked line, at most 1,000 characters; of a token error the words and the ids that Microsoft's support asks for. */
export function evidenceOf(refusal: Refusal): string {
  const error = refusal.stage === 'token' ? parseTokenError(refusal.reply) : undefined
  const line = maskSecrets(error ? tokenLine(error) : refusal.reply)
    .replace(/\s+/g, ' ')
    .replace(/[\p{Cc}\p{Cf}]/gu, '?')
    .trim()
  const short = line.length > MAX_CHARS ? `${line.slice(0, MAX_CHARS - 3)}...` : line
  return short.toWellFormed()
}

function tokenLine(error: Record<string, unknown>): string {
  const member = (name: string): string => {
    const value = error[name]
    return typeof value === 'string' ? value : ''
  }
  const name = member('error') || JSON.stringify(error['error'])
  const description = member('error_description').replace(
    /\s{0,4}(?:(?:Trace|Correlation) ID: [\da-f-]{36}|Timestamp: [\d-]{10} [\d:]{8}Z)/gi,
    '',
  )
  const ids = [
    member('trace_id') && `trace ${member('trace_id')}`,
    member('correlation_id') && `correlation ${member('correlation_id')}`,
    member('timestamp'),
  ].filter((id) => id !== '')
  return `${name}${description && `: ${description.trim()}`}${ids.length > 0 ? ` (${ids.join(', ')})` : ''}`
}
