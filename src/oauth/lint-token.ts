// Reads what an access token says of itself before anybody logs in with it: a permission that is missing, or a token for another
// service, would only be refused with a line that names no cause. Pure. Claims: learn.microsoft.com, "Access token claims reference";
// a token is for its audience, so all of this is advice, and a slow probe logs in all the same.

import type { Direction, Provider } from '../base/failure.ts'
import { MINUTE_MS } from '../base/clock.ts'
import { readClaims, type TokenClaims } from './claims.ts'
import { entraTenantOf } from './provider-presets.ts'
import type { Flow } from './token.ts'

export interface TokenAbout {
  readonly provider: Provider
  readonly flow: Flow
  readonly direction: Direction
  /** The user of XOAUTH2. */
  readonly mailbox: string
  /** Who is expected to have signed in; the mailbox itself, unless it is shared. */
  readonly username: string
  readonly tokenEndpoint: string
  readonly clientId: string
  readonly now: Date
}

export interface TokenFinding {
  readonly flag: string
  /** Evidence, in English. */
  readonly says: string
  /** A login would certainly be refused. */
  readonly certain: boolean
}

/** Exchange Online by its names, also in the clouds for governments and China, and by its application id. */
const MAIL_AUDIENCE =
  /^(?:https:\/\/)?(?:outlook(?:-dod)?\.office(?:365)?\.(?:com|us)|ps\.outlook\.com|partner\.outlook\.cn|outlook\.com)\/?$|^00000002-0000-0ff1-ce00-000000000000$/i
const DELEGATED: Record<Direction, string> = { receive: 'POP.AccessAsUser.All', send: 'SMTP.Send' }
const OF_THE_APP: Record<Direction, string> = { receive: 'POP.AccessAsApp', send: 'SMTP.SendAsApp' }
const GUID = /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/i
/** Clocks differ. */
const SKEW_MS = 5 * MINUTE_MS
/** Exchange's POP3 front end was seen to break off longer lines (jstedfast/MailKit#1948); a SASL line ends at 12,288 octets (RFC 4954 section 4). */
const LONGEST_LINE: Record<Direction, number> = { receive: 4_096, send: 12_288 }

/** What is wrong with the token, the surest first; nothing where it is opaque, as those of Google and of personal accounts. */
export function lintToken(accessToken: string, about: TokenAbout): TokenFinding[] {
  const claims = about.provider === 'microsoft' ? readClaims(accessToken) : undefined
  if (!claims) return []
  const found = [
    audience(claims),
    permission(claims, about.direction),
    registration(claims, about),
    tenant(claims, about),
    expiry(claims, about.now),
    user(claims, about),
    length(accessToken, about),
  ]
  return found.filter((finding) => finding !== undefined).toSorted((a, b) => Number(b.certain) - Number(a.certain))
}

function audience({ audience: named }: TokenClaims): TokenFinding | undefined {
  if (named === undefined || MAIL_AUDIENCE.test(named)) return undefined
  return { flag: 'token_wrong_audience', says: `the token is for ${named}, not for Exchange Online`, certain: true }
}

function permission({ scopes, roles }: TokenClaims, direction: Direction): TokenFinding | undefined {
  const delegated = scopes.length > 0
  const wanted = (delegated ? DELEGATED : OF_THE_APP)[direction]
  const granted = delegated ? scopes : roles
  if (granted.includes(wanted)) return undefined
  const list = granted.length > 0 ? granted.join(' ') : 'nothing'
  if (!delegated)
    return {
      flag: 'admin_consent_missing',
      says: `the token of the app grants ${list}, and not ${wanted}`,
      certain: true,
    }
  const flag = direction === 'receive' ? 'permission_missing_pop' : 'permission_missing_smtp'
  return { flag, says: `the token grants ${list}, and not ${wanted}`, certain: true }
}

function registration({ appId }: TokenClaims, { clientId }: TokenAbout): TokenFinding | undefined {
  if (appId === undefined || appId.toLowerCase() === clientId.toLowerCase()) return undefined
  return { flag: 'token_client_mismatch', says: `the token was issued to the app ${appId}`, certain: false }
}

function tenant({ tenantId }: TokenClaims, { tokenEndpoint }: TokenAbout): TokenFinding | undefined {
  const asked = entraTenantOf(tokenEndpoint)
  if (tenantId === undefined || asked === undefined || !GUID.test(asked)) return undefined
  if (asked.toLowerCase() === tenantId.toLowerCase()) return undefined
  return { flag: 'wrong_tenant_for_user', says: `the token is of the tenant ${tenantId}`, certain: false }
}

function expiry({ expiresAt }: TokenClaims, now: Date): TokenFinding | undefined {
  if (expiresAt === undefined || expiresAt.getTime() > now.getTime() - SKEW_MS) return undefined
  return { flag: 'clock_skew', says: `the token says that it ended at ${expiresAt.toISOString()}`, certain: false }
}

function user(
  { username, scopes }: TokenClaims,
  { username: expected, mailbox }: TokenAbout,
): TokenFinding | undefined {
  if (username === undefined || scopes.length === 0) return undefined
  const known = [expected, mailbox].some((name) => name.toLowerCase() === username.toLowerCase())
  if (known) return undefined
  return {
    flag: 'token_of_another_user',
    says: `the token is that of ${username}, the user name is ${mailbox}`,
    certain: false,
  }
}

function length(accessToken: string, { mailbox, direction }: TokenAbout): TokenFinding | undefined {
  const bytes = Math.ceil((mailbox.length + accessToken.length + 24) / 3) * 4
  if (bytes <= LONGEST_LINE[direction]) return undefined
  return {
    flag: direction === 'receive' ? 'pop3_token_too_long' : 'xoauth2_format_rejected',
    says: `the login line has ${bytes} bytes, more than the ${LONGEST_LINE[direction]} that servers were seen to take`,
    certain: false,
  }
}

export type TokenDescription =
  | { readonly opaque: true; readonly lengthBytes: number }
  | ({ readonly opaque: false; readonly lengthBytes: number } & TokenClaims)

/** For people: what the token says, without the token. */
export function describeToken(accessToken: string): TokenDescription {
  const claims = readClaims(accessToken)
  const lengthBytes = accessToken.length
  return claims ? { opaque: false, lengthBytes, ...claims } : { opaque: true, lengthBytes }
}
