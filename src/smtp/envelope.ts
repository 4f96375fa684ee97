// Envelope addresses: strict checks before anything is sent, and the MAIL and RCPT lines made of them.
// RFC 5321 4.1.2 (mailbox grammar) and 4.5.3.1 (limits), RFC 6531 (SMTPUTF8), RFC 1870 (SIZE), RFC 6152 (8BITMIME).

import { isIPv4, isIPv6 } from 'node:net'
import { domainToASCII } from 'node:url'

/** An address that must not be put on the wire. Its message names the address and says why. */
export class AddressError extends Error {
  override readonly name = 'AddressError'
  readonly address: string
  readonly reason: string

  constructor(address: string, reason: string) {
    super(`The address ${JSON.stringify(address.slice(0, 300))} cannot be used: ${reason}.`)
    this.address = address
    this.reason = reason
  }
}

const LOCAL_PART_OCTETS = 64
const ADDRESS_OCTETS = 254
// atext of RFC 5322, with the letters, marks and digits of RFC 6531; no control, format, space or symbol characters.
const ATEXT = "[\\p{L}\\p{M}\\p{N}!#$%&'*+/=?^_`{|}~-]"
const DOT_STRING = new RegExp(`^${ATEXT}+(?:\\.${ATEXT}+)*$`, 'u')
// Quotes may only hold what is harmless without them, such as two dots in a row: an @, a space or a backslash inside
// quotes has sent mail to another domain than the one that was checked (CVE-2025-13033).
const PLAIN_QUOTED = new RegExp(`^"(?:${ATEXT}|\\.)+"$`, 'u')
const DOMAIN_INPUT = /^[\p{L}\p{M}\p{N}.-]+$/u
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i

const isAscii = (text: string): boolean => /^\p{ASCII}*$/u.test(text)

/** Whether the wire form of an address can only be sent with SMTPUTF8. */
export const needsSmtpUtf8 = (wire: string): boolean => !isAscii(wire)

/**
 * Checks one mailbox address and returns its wire form: the local part untouched, an internationalised domain as
 * A-labels. Accepts neither comments nor display names nor routes. Throws AddressError.
 */
export function checkAddress(address: string): string {
  const at = address.lastIndexOf('@')
  if (at < 0) throw new AddressError(address, 'it has no @')
  const local = address.slice(0, at)
  if (!DOT_STRING.test(local) && !PLAIN_QUOTED.test(local)) {
    throw new AddressError(address, 'the part before the @ is not a plain mailbox name')
  }
  if (Buffer.byteLength(local) > LOCAL_PART_OCTETS) {
    throw new AddressError(address, `the part before the @ is longer than ${LOCAL_PART_OCTETS} octets`)
  }
  const wire = `${local}@${wireDomain(address, address.slice(at + 1))}`
  if (Buffer.byteLength(wire) > ADDRESS_OCTETS) {
    throw new AddressError(address, `it is longer than ${ADDRESS_OCTETS} octets`)
  }
  return wire
}

function wireDomain(address: string, domain: string): string {
  if (domain.startsWith('[')) {
    if (isAddressLiteral(domain)) return domain
    throw new AddressError(address, 'the address literal is not [IPv4] or [IPv6:...]')
  }
  const ascii = isAscii(domain) ? domain : toALabels(domain)
  const labels = ascii.split('.')
  if (!labels.every((label) => LABEL.test(label))) throw new AddressError(address, 'the domain is not a valid name')
  // A name that ends in a number is an IP address in disguise; those belong in brackets.
  if (/^\d+$/.test(labels.at(-1) ?? '')) throw new AddressError(address, 'the domain is a bare number or IP address')
  return ascii
}

function isAddressLiteral(literal: string): boolean {
  const inside = /^\[([^[\]]*)\]$/.exec(literal)?.[1] ?? ''
  if (isIPv4(inside)) return true
  return /^IPv6:/i.test(inside) && !inside.includes('%') && isIPv6(inside.slice('IPv6:'.length))
}

/** '' where the name is not allowed; compatibility characters are refused, they look like another domain. */
export function toALabels(domain: string): string {
  if (!DOMAIN_INPUT.test(domain) || domain.normalize('NFC') !== domain.normalize('NFKC')) return ''
  return domainToASCII(domain)
}

export interface MailParameters {
  /** Given where the server announced SIZE. */
  readonly sizeBytes?: number
  readonly eightBitMime: boolean
  readonly smtpUtf8: boolean
}

/** `from` is a checked wire form, or '' for the null sender. */
export function mailCommand(from: string, parameters: MailParameters): string {
  const words = [`MAIL FROM:<${from}>`]
  if (parameters.sizeBytes !== undefined && Number.isSafeInteger(parameters.sizeBytes)) {
    words.push(`SIZE=${parameters.sizeBytes}`)
  }
  if (parameters.eightBitMime) words.push('BODY=8BITMIME')
  if (parameters.smtpUtf8) words.push('SMTPUTF8')
  return words.join(' ')
}

export const rcptCommand = (to: string): string => `RCPT TO:<${to}>`
