// MIME out of a grammar, and then broken: deterministic by its random numbers.

import { CHARSETS } from './charset-samples.ts'

type Random = () => number

const pick = <T>(random: Random, all: readonly T[]): T | undefined => all[Math.floor(random() * all.length)]
const chance = (random: Random, share: number): boolean => random() < share
const upTo = (random: Random, count: number): number => Math.floor(random() * (count + 1))

const WORDS = [
  '',
  'a',
  'Grüße',
  '=?utf-8?q?=C3=BC?=',
  '=?utf-8?b?w7w=?=',
  '=?x?q?',
  '?=',
  '"',
  '\\',
  '(',
  ')',
  ';',
  '=',
  '*0*=',
  "''",
  '%C3',
  '<a@b>',
  ',',
  '\u0000',
  '\u0080',
  '\u202e',
  '../',
  '\t',
  '--',
  'x'.repeat(300),
]
const TYPES = [
  'text/plain',
  'text/html',
  'multipart/mixed',
  'multipart/alternative',
  'multipart/report; report-type=delivery-status',
  'message/rfc822',
  'message/delivery-status',
  'application/pdf',
  'application/ms-tnef',
  'text/calendar',
  'text',
  '',
  ';',
  'multipart/mixed;boundary',
  'multipart/related;boundary=',
]
const ENCODINGS = [
  '7bit',
  '8bit',
  'base64',
  'quoted-printable',
  'BASE64',
  'x-unknown',
  '',
  'quoted-printable (x)',
  'base64;',
]
const NAMES = [
  'Subject',
  'From',
  'To',
  'Message-ID',
  'References',
  'In-Reply-To',
  'Content-ID',
  'Date',
  'Received',
  'X',
  'Auto-Submitted',
  'X-Failed-Recipients',
  '',
  'Content-Type',
  'Content-Disposition',
  'content-transfer-encoding',
]
const LINE_ENDS = ['\r\n', '\n', '\r', '\r\r\n', '\n\r', '']

const phrase = (random: Random): string =>
  Array.from({ length: upTo(random, 6) }, () => pick(random, WORDS)).join(chance(random, 0.5) ? ' ' : '')

function field(random: Random): string {
  return `${pick(random, NAMES)}${chance(random, 0.95) ? ':' : ''} ${phrase(random)}${chance(random, 0.2) ? `\r\n ${phrase(random)}` : ''}`
}

function body(random: Random): Buffer {
  const [, , hex = ''] = pick(random, CHARSETS) ?? []
  const bytes = Buffer.from(hex, 'hex')
  const kinds = [
    () => bytes,
    () => Buffer.from(bytes.toString('base64')),
    () => Buffer.from(phrase(random)),
    () => Buffer.from(`<p>${phrase(random)}<script>${phrase(random)}`),
    () => Buffer.from(Array.from({ length: upTo(random, 200) }, () => upTo(random, 255))),
    () => Buffer.from('Final-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1\r\n'),
    () => Buffer.alloc(0),
  ]
  return (pick(random, kinds) ?? kinds[0])?.() ?? bytes
}

function entity(random: Random, depth: number): Buffer {
  const boundary = pick(random, ['b', 'bb', '=_x', 'a b', "q'(", `n${upTo(random, 9)}`, '-', 'b--']) ?? 'b'
  const type = pick(random, TYPES) ?? ''
  const charset = pick(random, CHARSETS)?.[0] ?? ''
  const fields = Array.from({ length: upTo(random, 4) }, () => field(random))
  fields.push(`Content-Type: ${type}; charset=${charset}; boundary="${boundary}"; name=${phrase(random)}`)
  if (chance(random, 0.6)) fields.push(`Content-Transfer-Encoding: ${pick(random, ENCODINGS)}`)
  if (chance(random, 0.4))
    fields.push(
      `Content-Disposition: ${pick(random, ['attachment', 'inline', 'x', ''])}; filename${pick(random, ['=', '*=', '*0*=', '*1='])}${phrase(random)}`,
    )
  const head = Buffer.from(`${fields.join('\r\n')}\r\n\r\n`, chance(random, 0.5) ? 'latin1' : 'utf8')
  if (!type.startsWith('multipart') || depth > 6) {
    return Buffer.concat([head, type === 'message/rfc822' && depth < 6 ? entity(random, depth + 1) : body(random)])
  }
  const parts = Array.from({ length: upTo(random, 4) }, () =>
    Buffer.concat([Buffer.from(`--${boundary}\r\n`), entity(random, depth + 1), Buffer.from('\r\n')]),
  )
  return Buffer.concat([head, ...parts, Buffer.from(chance(random, 0.8) ? `--${boundary}--\r\n` : '')])
}

/** One broken message. */
export function fuzzedMail(random: Random): Buffer {
  let raw = entity(random, 0)
  for (let i = upTo(random, 3); i > 0; i--) {
    const at = upTo(random, raw.length)
    const cut = upTo(random, 40)
    const kind = upTo(random, 4)
    if (kind === 0) raw = Buffer.concat([raw.subarray(0, at), raw.subarray(at + cut)])
    else if (kind === 1) raw = Buffer.concat([raw.subarray(0, at), Buffer.from(phrase(random)), raw.subarray(at)])
    else if (kind === 2)
      raw = Buffer.concat([raw.subarray(0, at), raw.subarray(Math.max(0, at - cut), at), raw.subarray(at)])
    else if (kind === 3)
      raw = Buffer.from(raw.toString('latin1').replaceAll('\r\n', pick(random, LINE_ENDS) ?? '\n'), 'latin1')
    else raw = raw.subarray(0, at)
  }
  return raw
}
