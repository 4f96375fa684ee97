// Access and identity tokens in the shape Microsoft Entra issues them (RFC 7519), and the scope they are asked for by.
// The signature is real but symmetric: nobody but the simulator itself ever checks one of its tokens.

import { createHash, createHmac, randomBytes, randomUUID } from 'node:crypto'

const KEY = randomBytes(32)

/** Whom a token is issued to, and for what. */
export interface Subject {
  readonly tenant: string
  /** Of an app-only token the client id. */
  readonly email: string
  readonly clientId: string
  readonly audience: string
  readonly permissions: readonly string[]
  readonly appOnly: boolean
  readonly nonce?: string
  readonly issuedAt: Date
  readonly expiresAt: Date
}

const base64Json = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const seconds = (at: Date): number => Math.floor(at.getTime() / 1000)

export function signJwt(claims: object): string {
  const signed = `${base64Json({ typ: 'JWT', alg: 'HS256', kid: 'sandbox' })}.${base64Json(claims)}`
  return `${signed}.${createHmac('sha256', KEY).update(signed).digest('base64url')}`
}

/** The same GUID for the same name: tenants and users keep their ids over restarts. A GUID stays what it is. */
export function guidOf(name: string): string {
  const lower = name.toLowerCase()
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(lower)) return lower
  const hex = createHash('sha256').update(lower).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

const commonClaims = (s: Subject) => ({
  iat: seconds(s.issuedAt),
  nbf: seconds(s.issuedAt),
  exp: seconds(s.expiresAt),
  tid: guidOf(s.tenant),
  oid: guidOf(s.email),
})

export function entraAccessToken(s: Subject): string {
  // An app nobody granted anything still gets a token; it merely lacks `roles`.
  const appRights = s.permissions.length > 0 ? { roles: s.permissions } : {}
  const rights = s.appOnly ? appRights : { scp: s.permissions.join(' '), upn: s.email, unique_name: s.email }
  const issuer = `https://sts.windows.net/${guidOf(s.tenant)}/`
  return signJwt({
    aud: s.audience,
    iss: issuer,
    appid: s.clientId,
    ver: '1.0',
    jti: randomUUID(),
    ...commonClaims(s),
    ...rights,
  })
}

export function entraIdToken(s: Subject): string {
  const issuer = `https://login.microsoftonline.com/${guidOf(s.tenant)}/v2.0`
  const user = {
    sub: guidOf(s.email),
    preferred_username: s.email,
    name: s.email,
    ...(s.nonce !== undefined && { nonce: s.nonce }),
  }
  return signJwt({ aud: s.clientId, iss: issuer, ver: '2.0', ...user, ...commonClaims(s) })
}

/** What MSAL knows a user by. */
export const entraClientInfo = (s: Subject): string => base64Json({ uid: guidOf(s.email), utid: guidOf(s.tenant) })

export const GRAPH = 'https://graph.microsoft.com'
const MAIL_RESOURCES = /^https:\/\/(outlook\.office(365)?\.com|outlook(-dod)?\.office365\.us|partner\.outlook\.cn)$/
const OIDC_SCOPES = new Set(['openid', 'profile', 'email', 'offline_access'])

/** What an Entra scope asks for. A permission without a resource is one of Microsoft Graph: that token opens no mailbox. */
export function parseScope(scope: string): { resources: string[]; names: string[]; oidc: ReadonlySet<string> } {
  const parts = scope.split(' ').filter(Boolean)
  const wanted = parts.filter((part) => !OIDC_SCOPES.has(part))
  const pairs = wanted.map((part) => /^(https?:\/\/[^/]+)\/+(.*)$/.exec(part) ?? [part, GRAPH, part])
  return {
    resources: pairs.map(([, resource = '']) => resource),
    names: pairs.map(([, , name = '']) => name),
    oidc: new Set(parts.filter((part) => OIDC_SCOPES.has(part))),
  }
}

/** What Entra has against a scope before it looks at the client. */
export function scopeMistake(scope: string, flow: string): 'invalid_scope' | 'scope_without_default' | undefined {
  const { resources, names } = parseScope(scope)
  const foreign = resources.some((resource) => resource !== GRAPH && !MAIL_RESOURCES.test(resource))
  if (foreign || new Set(resources).size > 1) return 'invalid_scope'
  if (names.length === 0 && flow !== 'refresh_token') return 'invalid_scope'
  if (flow === 'client_credentials' && names.some((name) => name !== '.default')) return 'scope_without_default'
  return undefined
}
