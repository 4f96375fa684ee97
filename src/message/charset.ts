// Bytes to text. libmime knows most charsets; UTF-7 (RFC 2152), HZ (RFC 1843) and ISO-2022-KR (RFC 1557) it leaves as they are, so
// they are decoded here. What is not declared, or declared as something that does not exist, is UTF-8 where it is valid,
// else windows-1252.

import { isUtf8 } from 'node:buffer'
import { createDecodeStream, decode, normalizeCharset } from 'libmime/lib/charset.js'

/** What senders write where they mean nothing in particular, and ISO-8859-1, which in the wild is windows-1252. */
const LATIN = /^(?:us-ascii|ascii|ansi_x3\.4-\d+|iso-?8859-?1|latin-?1|l1|windows-1252|cp-?1252)$/
const UTF7 = /^(?:unicode-1-1-)?utf-?7$|^csunicode11utf7$/
const HZ = /^hz(?:-gb-?2312)?$/
const ISO_2022_KR = /^(?:cs)?iso-?2022-?kr$/
const STATEFUL = /^(?:hz|(?:cs)?iso-?2022)|utf-?7/

/** Two parts of a text in such a charset cannot be joined before they are decoded. */
export const isStateful = (charset: string): boolean => STATEFUL.test(tidy(charset))

/** Never throws; what is no character becomes U+FFFD. A byte order mark is dropped. */
export function decodeText(bytes: Buffer, charset: string | null): string {
  const name = tidy(charset ?? '')
  const text = decodeAs(bytes, name)
  return text.startsWith('\uFEFF') ? text.slice(1) : text
}

function decodeAs(bytes: Buffer, name: string): string {
  if (UTF7.test(name)) return decodeUtf7(bytes.toString('latin1'))
  if (HZ.test(name)) return decodeHz(bytes)
  if (ISO_2022_KR.test(name)) return decodeIso2022Kr(bytes)
  if (name === 'utf-8' || name === 'utf8') return bytes.toString('utf8')
  if (name === '' || LATIN.test(name) || !isSupported(name)) return guess(bytes, name)
  return decode(bytes, name)
}

/** A declared ISO-8859-1 is believed even where the bytes happen to be valid UTF-8. */
const guess = (bytes: Buffer, name: string): string =>
  isUtf8(bytes) && !/8859|latin|l1|1252/.test(name)
    ? bytes.toString('utf8')
    : new TextDecoder('windows-1252').decode(bytes)

const tidy = (charset: string): string => charset.trim().toLowerCase().replace(/^x-/, '').replace(/\*.*$/, '')

const supported = new Map<string, boolean>()

function isSupported(name: string): boolean {
  const known = supported.get(name)
  if (known !== undefined) return known
  const found = createDecodeStream(normalizeCharset(name)).supported
  if (supported.size < 500) supported.set(name, found) // names come out of messages
  return found
}

/** Runs of modified base64 between `+` and `-` are UTF-16. */
function decodeUtf7(text: string): string {
  return text.replace(/\+([A-Za-z0-9+/]*)-?/g, (_, run: string) => {
    if (run === '') return '+'
    const bytes = Buffer.from(run, 'base64')
    const even = bytes.subarray(0, bytes.length & ~1)
    return Buffer.from(even).swap16().toString('utf16le')
  })
}

const TILDE = 0x7e

/** `~{` begins GB 2312 in seven bits, `~}` ends it, `~~` is a tilde, `~` at the end of a line joins lines. */
function decodeHz(bytes: Buffer): string {
  const out = Buffer.alloc(bytes.length)
  let length = 0
  let wide = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0
    const next = bytes[i + 1] ?? 0
    if (byte === TILDE && next === (wide ? 0x7d : 0x7b)) {
      wide = !wide
      i++
    } else if (wide && byte > 0x20 && byte < TILDE && next > 0x20 && next <= TILDE) {
      out[length++] = byte | 0x80
      out[length++] = next | 0x80
      i++
    } else if (!wide && byte === TILDE && (next === TILDE || next === 0x0a)) {
      if (next === TILDE) out[length++] = TILDE
      i++
    } else {
      if (byte === 0x0a) wide = false // the mode does not go beyond its line
      out[length++] = byte
    }
  }
  return new TextDecoder('gbk').decode(out.subarray(0, length))
}

/** SO and SI switch to KS X 1001 and back; the designator at the beginning says nothing more. */
function decodeIso2022Kr(bytes: Buffer): string {
  const out = Buffer.alloc(bytes.length)
  let length = 0
  let wide = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0
    if (byte === 0x1b && bytes.subarray(i, i + 4).equals(DESIGNATOR)) i += DESIGNATOR.length - 1
    else if (byte === 0x0e) wide = true
    else if (byte === 0x0f) wide = false
    else out[length++] = wide && byte > 0x20 && byte < 0x7f ? byte | 0x80 : byte
  }
  return new TextDecoder('euc-kr').decode(out.subarray(0, length))
}

const DESIGNATOR = Buffer.from('\u001b$)C')
