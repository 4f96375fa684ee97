// Who a client says it is (SASL XOAUTH2, PLAIN RFC 4616, LOGIN) and whether a mailbox opens to it. The reason of a
// refusal is for the test's eyes: real providers answer most of them with one and the same line.

import type { Mailbox } from './mailbox.ts'

export interface TokenFacts {
  readonly email: string
  readonly scopes: readonly string[]
  readonly expiresAt: Date
}

/** undefined: never issued, or revoked. */
export type CheckToken = (accessToken: string) => TokenFacts | undefined

export type Presented =
  | { readonly username: string; readonly accessToken: string }
  | { readonly username: string; readonly password: string }

export type LoginVerdict =
  | 'accepted'
  | 'unknown-user'
  | 'wrong-password'
  | 'basic-disabled'
  | 'unknown-token'
  | 'token-expired'
  | 'token-of-other-mailbox'
  | 'permission-missing'
  | 'protocol-disabled'

const decode = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8')

/** XOAUTH2 and OAUTHBEARER (RFC 7628), which differ in the first field only. */
export function parseBearer(base64: string): Presented | undefined {
  const fields = decode(base64).split('\x01')
  const username = /^(?:user=|n,a=)([^,]+)/i.exec(fields[0] ?? '')?.[1]
  const accessToken = fields.map((field) => /^auth=Bearer (.+)$/i.exec(field)?.[1]).find((token) => token !== undefined)
  const complete = fields.length >= 4 && fields.slice(-2).every((field) => field === '')
  return complete && username !== undefined && accessToken !== undefined ? { username, accessToken } : undefined
}

export function parsePlain(base64: string): Presented | undefined {
  const [, username, password] = decode(base64).split('\0')
  return username === undefined || password === undefined ? undefined : { username, password }
}

export const parseLogin = (user: string, password: string): Presented => ({
  username: decode(user),
  password: decode(password),
})

const PERMISSIONS = {
  pop3: /(^|\/)(POP\.AccessAsUser\.All|POP\.AccessAsApp|\.default)$|^https:\/\/mail\.google\.com\/$/i,
  smtp: /(^|\/)(SMTP\.Send|SMTP\.SendAsApp|\.default)$|^https:\/\/mail\.google\.com\/$/i,
}

export function judgeLogin(
  protocol: 'pop3' | 'smtp',
  presented: Presented | undefined,
  mailbox: Mailbox | undefined,
  checkToken: CheckToken,
): LoginVerdict {
  if (presented === undefined || mailbox === undefined) return 'unknown-user'
  if ('password' in presented) {
    if (mailbox.password === undefined) return 'basic-disabled'
    return mailbox.password === presented.password ? 'accepted' : 'wrong-password'
  }
  const token = checkToken(presented.accessToken)
  if (token === undefined) return 'unknown-token'
  if (token.expiresAt.getTime() <= Date.now()) return 'token-expired'
  const owner = token.email.toLowerCase()
  if (owner !== mailbox.email && !mailbox.delegates.has(owner)) return 'token-of-other-mailbox'
  if (!token.scopes.some((scope) => PERMISSIONS[protocol].test(scope))) return 'permission-missing'
  // Exchange lets nobody in; Gmail does, and says so at STAT.
  if (protocol === 'pop3' && !mailbox.pop3Enabled && mailbox.provider !== 'google') return 'protocol-disabled'
  return 'accepted'
}
