// SASL texts that POP3 and SMTP share: the XOAUTH2 response as Microsoft and Google document it, and challenges.

import { UserError } from '../base/failure.ts'

/** Separates the fields of an XOAUTH2 response, and ends it. */
const SEPARATOR = '\x01'
/** Longer challenges are nobody's error report. */
const CHALLENGE_CHARS = 4096

/**
 * The base64 response to `AUTH XOAUTH2`, without line breaks.
 * Throws UserError where user name or token holds a character that would end a field or a line.
 */
export function xoauth2(username: string, accessToken: string): string {
  if (breaksOut(username)) throw new UserError('the user name contains a line break or another control character')
  if (breaksOut(accessToken)) throw new UserError('the access token contains a control character')
  const response = `user=${username}${SEPARATOR}auth=Bearer ${accessToken}${SEPARATOR}${SEPARATOR}`
  return Buffer.from(response, 'utf8').toString('base64')
}

/** The text of a base64 challenge. It is the peer's words: to be cleaned before it is shown. */
export const decodeChallenge = (base64: string): string =>
  Buffer.from(base64.trim().slice(0, CHALLENGE_CHARS), 'base64').toString('utf8')

/** Whether a text would end a line of the dialogue (CR, LF, NUL) or a field of an XOAUTH2 response (0x01). */
export const breaksOut = (text: string): boolean => ['\r', '\n', '\0', SEPARATOR].some((char) => text.includes(char))
