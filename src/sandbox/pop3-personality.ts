// How the POP3 servers of Exchange Online, Gmail and Dovecot talk: texts, capabilities and habits, as seen on the wire.

import type { Provider } from '../base/failure.ts'
import type { LoginVerdict } from './sasl.ts'

export interface Pop3Personality {
  greeting: string
  capabilities(state: { secured: boolean; loginDelaySeconds: number }): string[]
  /** AUTH with the initial response on the same line (RFC 5034 section 4) is understood. */
  oneLineAuth: boolean
  maxSaslLineLength: number
  pipelining: boolean
  /** Sent as continuation before an XOAUTH2 refusal; the client answers with an empty line. */
  challenge: string | undefined
  sessionsPerMaildrop: number
  /** A session sees at most so many messages, the oldest. */
  listed: number
  /** A message that was retrieved is not offered again, deleted or not. */
  showsOnce: boolean
  /** LIST and STAT tell an estimate. */
  reportedSize(sizeBytes: number): number
  loggedIn: string
  refusal(verdict: LoginVerdict): string
  inUse: string
  unavailable: string
  plaintextRefused: string
  tooLong: string
  protocolError: string
  unknownCommand: string
  wrongState: string
  noSuchMessage(number: number): string
  listing(count: number, sizeBytes: number): string
  uidls: string
  retrieving(sizeBytes: number): string
  deleted: string
  reset: string
  goodbye(deleted: number): string
}

const exactly = (sizeBytes: number): number => sizeBytes

const microsoft: Pop3Personality = {
  greeting:
    '+OK The Microsoft Exchange POP3 service is ready. [RgBSADAAUAAyADgAMQBDAEEAMAAwADkAMQAuAEQARQBVAFAAMgA4ADEA]',
  capabilities: ({ secured }) => ['TOP', 'UIDL', 'SASL PLAIN XOAUTH2', 'USER', ...(secured ? [] : ['STLS'])],
  oneLineAuth: false,
  // Lines above about 4096 characters are refused with the text of a one-line AUTH (MailKit#1948).
  maxSaslLineLength: 4096,
  pipelining: false,
  challenge: undefined,
  sessionsPerMaildrop: 1,
  listed: Infinity,
  showsOnce: false,
  reportedSize: (sizeBytes) => Math.ceil(sizeBytes * 1.03),
  loggedIn: '+OK User successfully authenticated.',
  refusal: (verdict) =>
    verdict === 'basic-disabled' || verdict === 'wrong-password'
      ? '-ERR Logon failure: unknown user name or bad password.'
      : '-ERR Authentication failure: unknown user name or bad password.',
  // No response codes here: a locked maildrop and an outage sound the same.
  inUse: '-ERR Server Unavailable. 21',
  unavailable: '-ERR Server Unavailable. 21',
  plaintextRefused: '-ERR Command is not valid in this state.',
  tooLong: '-ERR Protocol error. Connection is closed. 10',
  protocolError: '-ERR Protocol error. Connection is closed. 10',
  unknownCommand: '-ERR Protocol error. 19',
  wrongState: '-ERR Command is not valid in this state.',
  noSuchMessage: () => '-ERR The specified message is out of range.',
  listing: (count, sizeBytes) => `+OK ${count} ${sizeBytes}`,
  uidls: '+OK',
  retrieving: () => '+OK',
  deleted: '+OK',
  reset: '+OK',
  goodbye: () => '+OK Microsoft Exchange Server POP3 server signing off.',
}

const google: Pop3Personality = {
  greeting: '+OK Gpop ready for requests from 203.0.113.7 n67mb28062338lja',
  capabilities: ({ loginDelaySeconds }) => [
    'USER',
    'RESP-CODES',
    'EXPIRE 0',
    `LOGIN-DELAY ${loginDelaySeconds}`,
    'TOP',
    'UIDL',
    'X-GOOGLE-RICO',
    'SASL PLAIN XOAUTH2 OAUTHBEARER',
  ],
  oneLineAuth: true,
  maxSaslLineLength: 12_288,
  pipelining: true,
  challenge: Buffer.from('{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}').toString('base64'),
  sessionsPerMaildrop: 1,
  listed: 250,
  showsOnce: true,
  reportedSize: exactly,
  loggedIn: '+OK Welcome.',
  refusal: (verdict) => {
    if (verdict === 'basic-disabled') {
      return '-ERR [AUTH] Application-specific password required: http://support.google.com/accounts/bin/answer.py?answer=185833'
    }
    return verdict === 'wrong-password'
      ? '-ERR [AUTH] Username and password not accepted.'
      : '-ERR [AUTH] Invalid credentials.'
  },
  inUse: '-ERR [IN-USE] Unable to lock maildrop: Mailbox is locked by POP server',
  unavailable: '-ERR [SYS/TEMP] Temporary system problem. Please try again later.',
  plaintextRefused: '-ERR bad command',
  tooLong: '-ERR bad command',
  protocolError: '-ERR bad command',
  unknownCommand: '-ERR bad command',
  wrongState: '-ERR bad command',
  noSuchMessage: () => '-ERR Message number out of range.',
  listing: (count, sizeBytes) => `+OK ${count} messages (${sizeBytes} bytes)`,
  uidls: '+OK',
  retrieving: () => '+OK message follows',
  deleted: '+OK marked for deletion',
  reset: '+OK',
  goodbye: () => '+OK Farewell.',
}

const generic: Pop3Personality = {
  greeting: '+OK Dovecot ready.',
  capabilities: ({ secured }) => [
    'CAPA',
    'TOP',
    'UIDL',
    'RESP-CODES',
    'PIPELINING',
    'AUTH-RESP-CODE',
    ...(secured ? ['USER', 'SASL PLAIN LOGIN XOAUTH2'] : ['STLS', 'SASL']),
  ],
  oneLineAuth: true,
  maxSaslLineLength: 8192,
  pipelining: true,
  challenge: Buffer.from('{"status":"401","schemes":"bearer","scope":"mail"}').toString('base64'),
  sessionsPerMaildrop: 1,
  listed: Infinity,
  showsOnce: false,
  reportedSize: exactly,
  loggedIn: '+OK Logged in.',
  refusal: () => '-ERR [AUTH] Authentication failed.',
  inUse: '-ERR [IN-USE] Mailbox is locked by another POP3 session.',
  unavailable: '-ERR [SYS/TEMP] Temporary authentication failure. [mx1:2026-03-11 08:14:27]',
  plaintextRefused: '-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.',
  tooLong: '-ERR Input line too long.',
  protocolError: '-ERR Invalid command in current state.',
  unknownCommand: '-ERR Unknown command.',
  wrongState: '-ERR Unknown command.',
  noSuchMessage: (number) => `-ERR There's no message ${number}.`,
  listing: (count) => `+OK ${count} messages:`,
  uidls: '+OK',
  retrieving: (sizeBytes) => `+OK ${sizeBytes} octets`,
  deleted: '+OK Marked to be deleted.',
  reset: '+OK',
  goodbye: (deleted) => (deleted > 0 ? '+OK Logging out, messages deleted.' : '+OK Logging out.'),
}

export const POP3_PERSONALITIES: Readonly<Record<Provider, Pop3Personality>> = { microsoft, google, generic }
