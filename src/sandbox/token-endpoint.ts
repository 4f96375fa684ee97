// The simulator's token endpoint (RFC 6749 sections 3.2, 4.3, 4.4, 5, 6). One https server plays three kinds of provider:
// /<tenant>/oauth2/v2.0/token answers like Microsoft Entra, /google/token like oauth2.googleapis.com, and /generic/token
// rotates refresh tokens strictly: an old one that comes back revokes its whole family (RFC 9700 section 4.14.2).

import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { later, SECOND_MS, systemClock, type Clock } from '../base/clock.ts'
import { entraAccessToken, entraClientInfo, entraIdToken, GRAPH, parseScope, scopeMistake } from './jwt.ts'

const FLOWS = ['password', 'refresh_token', 'client_credentials'] as const
export type SandboxFlow = (typeof FLOWS)[number]

/** What can be wrong with a request, an account or its client, and how Entra says it: AADSTS number, `error`, words. */
const ENTRA = {
  account_disabled: '50057 invalid_grant The user account is disabled.',
  account_locked: "50053 invalid_grant The account is locked, you've tried to sign in too many times.",
  app_disabled: "7000112 unauthorized_client Application '{client}'(Poststelle) is disabled.",
  app_not_found: "700016 unauthorized_client Application '{client}' was not found in the directory '{tenant}'.",
  client_secret_expired: "7000222 invalid_client The provided client secret keys for app '{client}' are expired.",
  client_secret_invalid: "7000215 invalid_client Invalid client secret provided for app '{client}'.",
  client_secret_missing: "7000218 invalid_client The request body must contain 'client_assertion' or 'client_secret'.",
  client_secret_unwanted: "700025 invalid_client Client is public so 'client_secret' should not be presented.",
  conditional_access_blocked: '53003 invalid_grant Access has been blocked by Conditional Access policies.',
  consent_missing: "65001 invalid_grant The user or administrator has not consented to use the application '{client}'.",
  grant_type_missing: "900144 invalid_request The request body must contain the following parameter: 'grant_type'.",
  grant_type_unsupported: '70003 unsupported_grant_type The app requested an unsupported grant type.',
  invalid_credentials: '50126 invalid_grant Error validating credentials due to invalid username or password.',
  invalid_scope: "70011 invalid_scope The provided value for the input parameter 'scope' is not valid: {scope}",
  mfa_enrollment_required: '50079 invalid_grant You must enroll in multi-factor authentication.',
  mfa_required: '50076 invalid_grant You must use multi-factor authentication.',
  password_expired: '50055 invalid_grant The password is expired.',
  refresh_token_expired: '700082 invalid_grant The refresh token has expired\u00a0due to inactivity for 90.00:00:00.',
  refresh_token_malformed: '9002313 invalid_grant Invalid request. Request is malformed or invalid.',
  refresh_token_revoked: '50173 invalid_grant The provided grant has expired due to it being revoked.',
  ropc_endpoint_unsupported: '9001023 invalid_request The grant type is not supported over /common or /consumers.',
  scope_without_default: '1002012 invalid_scope Client credential flows must have a scope suffixed with /.default.',
  security_defaults_block: '530035 invalid_grant Access has been blocked by security defaults.',
  tenant_not_found: "90002 invalid_tenant Tenant '{tenant}' not found. Check that you have the correct tenant ID.",
  token_endpoint_throttled: '90055 temporarily_unavailable The request was throttled because of too many requests.',
  token_endpoint_unavailable: '90033 temporarily_unavailable A transient error has occurred. Please try again.',
  user_not_found: '50034 invalid_grant The user account {EmailHidden} does not exist in the {tenant} directory.',
}

export type SandboxRefusal = keyof typeof ENTRA

/** Google's answers have no numbers, and few words. */
const GOOGLE: Partial<Record<SandboxRefusal, string>> = {
  app_not_found: 'invalid_client The OAuth client was not found.',
  app_disabled: 'deleted_client The OAuth client was deleted.',
  client_secret_invalid: 'invalid_client The provided client secret is invalid.',
  client_secret_expired: 'invalid_client The provided client secret is invalid.',
  client_secret_missing: 'invalid_request client_secret is missing.',
  conditional_access_blocked: 'admin_policy_enforced Access to your account data is restricted by policies.',
  grant_type_unsupported: 'unsupported_grant_type Invalid grant_type',
  mfa_required: 'invalid_grant reauth related error (invalid_rapt)',
  refresh_token_malformed: 'invalid_grant Bad Request',
  token_endpoint_throttled: 'rate_limit_exceeded Rate Limit Exceeded',
  token_endpoint_unavailable: 'temporarily_unavailable The server is temporarily unavailable.',
}

const HTTP_STATUS = new Map(
  Object.entries({ invalid_client: 401, deleted_client: 401, temporarily_unavailable: 503, rate_limit_exceeded: 429 }),
)

/** One account the endpoint knows. The tenants `google` and `generic` live at the paths of these names. */
export interface SandboxGrant {
  readonly email: string
  readonly tenant: string
  readonly clientId: string
  /** null: a public client. */
  readonly clientSecret: string | null
  readonly flows: readonly SandboxFlow[]
  readonly password?: string
  readonly refreshToken?: string
  /** What was consented to, without the resource; by default what POP3 and SMTP need. */
  readonly permissions?: readonly string[]
  readonly state?: 'ok' | SandboxRefusal
}

/** What an access token opens. */
export interface TokenCheck {
  /** Whom it stands for; of an app-only token the client id, which a mailbox has to name among its delegates. */
  readonly email: string
  /** Delegated permissions or application roles for mail; empty where the token is for another resource. */
  readonly scopes: readonly string[]
  readonly audience: string
  readonly clientId: string
  readonly expiresAt: Date
}

/** A request as it came in, without its secrets. */
export interface TokenRequestSeen {
  readonly at: Date
  readonly path: string
  readonly grantType: string
  readonly username: string
  readonly clientId: string
  readonly scope: string
  readonly withClientSecret: boolean
}

/** With a status or a body it replaces the answer; otherwise the request is processed and only its delivery is disturbed. */
export interface ScriptedAnswer {
  readonly status?: number
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly delayMs?: number
  /** The connection is cut instead of an answer: before or after the request was processed. */
  readonly cut?: 'before' | 'after'
}

export interface TokenEndpointOptions {
  readonly tls: { readonly key: string; readonly cert: string }
  readonly accounts: Iterable<SandboxGrant>
  /** 3599 unless told. */
  readonly expiresInSeconds?: number
  readonly clock?: Clock
}

type Kind = 'microsoft' | 'google' | 'generic'
type Outcome = 'issued' | SandboxRefusal
type Answer = { readonly status: number; readonly body: string; readonly headers?: Record<string, string> | undefined }
/** All tokens that descend from one sign-in. Only a generic server minds whether a refresh token is still current. */
type Family = { readonly email: string; readonly clientId: string; readonly current: Set<string>; revoked: boolean }
type Asked = { readonly kind: Kind; readonly tenant: string; readonly clientId: string; readonly form: URLSearchParams }
type Accounts = readonly SandboxGrant[]
type Owner = { readonly email: string; readonly tenant: string }

const SHARED_TENANTS = new Set(['common', 'organizations', 'consumers'])
const DEFAULT_RESOURCE = 'https://outlook.office.com'

/** An endpoint on a free port of 127.0.0.1. */
export async function startTokenEndpoint(o: TokenEndpointOptions): Promise<TokenEndpoint> {
  const endpoint = new TokenEndpoint(o)
  await endpoint.listen()
  return endpoint
}

export class TokenEndpoint {
  readonly requests: TokenRequestSeen[] = []
  readonly #server: Server
  readonly #clock: Clock
  readonly #expiresInSeconds: number
  readonly #accounts = new Map<string, SandboxGrant>()
  readonly #families = new Map<string, Family>()
  readonly #issued = new Map<string, TokenCheck & { readonly family: Family | undefined }>()
  readonly #faults = new Map<string, SandboxRefusal | ScriptedAnswer>()
  readonly #next: (SandboxRefusal | ScriptedAnswer)[] = []
  readonly #listeners = new Set<(request: TokenRequestSeen, outcome: Outcome) => void>()
  readonly #closing = new AbortController()

  constructor(o: TokenEndpointOptions) {
    this.#clock = o.clock ?? systemClock
    this.#expiresInSeconds = o.expiresInSeconds ?? 3599
    for (const account of o.accounts) this.setAccount(account)
    this.#server = createServer({ ...o.tls }, (request, response) => {
      this.#serve(request, response).catch(() => response.destroy())
    })
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  get url(): string {
    const address = this.#server.address()
    return `https://localhost:${typeof address === 'object' ? address?.port : ''}`
  }

  /** The token endpoint URL of a tenant, or of the tenants `google` and `generic`. */
  tokenUrl(tenant: string): string {
    return isOther(tenant) ? `${this.url}/${tenant}/token` : `${this.url}/${tenant}/oauth2/v2.0/token`
  }

  /** Adds an account or replaces it: another password, secret, state. Tokens issued so far stay good. */
  setAccount(account: SandboxGrant): void {
    this.#accounts.set(account.email.toLowerCase(), account)
    if (account.refreshToken !== undefined && !this.#families.has(account.refreshToken)) {
      this.#grow(newFamily(account), account.refreshToken)
    }
  }

  /** undefined: never issued, or revoked. The caller judges expiry and permissions. */
  check(accessToken: string): TokenCheck | undefined {
    const issued = this.#issued.get(accessToken)
    return issued === undefined || issued.family?.revoked === true ? undefined : issued
  }

  /** Disturbs the next request, whoever makes it; calls queue up. */
  answerNext(answer: SandboxRefusal | ScriptedAnswer): void {
    this.#next.push(answer)
  }

  /** Disturbs every request of one account or one client until cleared. */
  setFault(emailOrClientId: string, fault: SandboxRefusal | ScriptedAnswer): void {
    this.#faults.set(emailOrClientId.toLowerCase(), fault)
  }

  clearFault(emailOrClientId: string): void {
    this.#faults.delete(emailOrClientId.toLowerCase())
  }

  /** What "Revoke sessions" does: all refresh and access tokens of the account are dead at once. */
  revoke(email: string): void {
    for (const family of this.#families.values()) if (sameName(family.email, email)) family.revoked = true
    for (const [token, issued] of this.#issued) if (sameName(issued.email, email)) this.#issued.delete(token)
  }

  /** Called after each processed request. Returns how to stop listening. */
  onRequest(listener: (request: TokenRequestSeen, outcome: Outcome) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', this.url).pathname
    const form = new URLSearchParams(await text(request))
    const tenant = path.split('/')[1] ?? ''
    const kind = isOther(tenant) ? tenant : 'microsoft'
    const asked = { kind, tenant, form, clientId: form.get('client_id') ?? '' } as const
    const seen: TokenRequestSeen = {
      at: this.#clock.now(),
      path,
      grantType: form.get('grant_type') ?? '',
      username: form.get('username') ?? this.#families.get(form.get('refresh_token') ?? '')?.email ?? '',
      clientId: asked.clientId,
      scope: form.get('scope') ?? '',
      withClientSecret: form.has('client_secret'),
    }
    this.requests.push(seen)
    const faultOf = (name: string) => this.#faults.get(name.toLowerCase())
    const fault = this.#next.shift() ?? faultOf(seen.username) ?? faultOf(seen.clientId)
    const script = typeof fault === 'object' ? fault : {}
    if (script.cut === 'before') return void request.socket.destroy()
    if (script.delayMs !== undefined) await pause(script.delayMs, undefined, { signal: this.#closing.signal })
    let answer: Answer = { status: script.status ?? (script.body === undefined ? 404 : 200), body: script.body ?? '' }
    const isToken = request.method === 'POST' && this.tokenUrl(tenant) === this.url + path
    if (isToken && script.status === undefined && script.body === undefined) {
      const result = typeof fault === 'string' ? fault : this.#issue(asked)
      const refused = typeof result === 'string'
      answer = refused ? refusalAnswer(result, asked, seen.at) : { status: 200, body: JSON.stringify(result) }
      for (const listener of this.#listeners) listener(seen, refused ? result : 'issued')
    }
    if (script.cut === 'after') return void request.socket.destroy()
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers, ...script.headers })
    response.end(answer.body)
  }

  /** The order of Entra's checks: request, tenant, app, scope, secret, user, password, policy, consent. */
  #issue(asked: Asked): object | SandboxRefusal {
    const { kind, form, tenant } = asked
    const flow = FLOWS.find((known) => known === form.get('grant_type'))
    if (!form.has('grant_type')) return 'grant_type_missing'
    const all = [...this.#accounts.values()]
    const inTenant = all.filter((a) => (SHARED_TENANTS.has(tenant) ? !isOther(a.tenant) : sameName(a.tenant, tenant)))
    if (inTenant.length === 0) return 'tenant_not_found'
    const ofClient = inTenant.filter((a) => sameName(a.clientId, asked.clientId))
    if (ofClient.length === 0) return 'app_not_found'
    for (const { state } of ofClient) if (state === 'app_not_found' || state === 'app_disabled') return state
    if (!flow || (kind === 'google' && flow !== 'refresh_token')) return 'grant_type_unsupported'
    const mistake = kind === 'microsoft' ? scopeMistake(form.get('scope') ?? '', flow) : undefined
    const refusal = mistake ?? secretMistake(ofClient, form.get('client_secret'), flow)
    if (refusal) return refusal
    if (flow === 'client_credentials') return this.#issueToApp(asked, ofClient)
    return flow === 'password' ? this.#issueForPassword(asked, ofClient) : this.#refresh(asked, ofClient)
  }

  #issueToApp(asked: Asked, ofClient: Accounts): object | SandboxRefusal {
    const usable = ofClient.filter((a) => a.flows.includes('client_credentials') && a.state !== 'consent_missing')
    const owner = { email: asked.clientId, tenant: ofClient[0]?.tenant ?? asked.tenant }
    return this.#tokens(asked, owner, [...new Set(usable.flatMap(permissionsOf))], undefined)
  }

  #issueForPassword(asked: Asked, ofClient: Accounts): object | SandboxRefusal {
    if (SHARED_TENANTS.has(asked.tenant) && asked.tenant !== 'organizations') return 'ropc_endpoint_unsupported'
    const account = ofClient.find((a) => sameName(a.email, asked.form.get('username') ?? ''))
    if (!account) return 'user_not_found'
    const shut = account.state === 'account_disabled' || account.state === 'account_locked'
    const proven = account.password !== undefined && account.password === asked.form.get('password')
    if (!shut && !proven) return 'invalid_credentials'
    if (account.state && account.state !== 'ok') return account.state
    return this.#tokens(asked, account, permissionsOf(account), newFamily(account))
  }

  #refresh(asked: Asked, ofClient: Accounts): object | SandboxRefusal {
    const presented = asked.form.get('refresh_token') ?? ''
    const family = this.#families.get(presented)
    const account = ofClient.find((a) => family && sameName(a.email, family.email))
    if (!family || !account || !sameName(family.clientId, asked.clientId)) return 'refresh_token_malformed'
    if (asked.kind === 'generic' && !family.current.has(presented)) family.revoked = true
    // A password that was changed elsewhere shows at the refresh as a revoked grant.
    if (family.revoked || account.state === 'invalid_credentials') return 'refresh_token_revoked'
    if (account.state && account.state !== 'ok') return account.state
    const answer = this.#tokens(asked, account, permissionsOf(account), family)
    if (typeof answer === 'object') family.current.delete(presented)
    return answer
  }

  #tokens(asked: Asked, owner: Owner, granted: readonly string[], family: Family | undefined): object | SandboxRefusal {
    const { kind, form, clientId } = asked
    const entra = kind === 'microsoft'
    const { resources, names, oidc } = parseScope(form.get('scope') ?? '')
    const audience = entra ? (resources[0] ?? DEFAULT_RESOURCE) : kind
    const everything = !entra || names.length === 0 || names.includes('.default')
    const permissions = everything ? granted : names
    if (audience !== GRAPH && permissions.some((name) => !granted.includes(name))) return 'consent_missing'
    const issuedAt = this.#clock.now()
    const expiresAt = later(issuedAt, this.#expiresInSeconds * SECOND_MS)
    const { email, tenant } = owner
    const subject = { tenant, email, clientId, audience, permissions, appOnly: !family, issuedAt, expiresAt }
    const accessToken = entra ? entraAccessToken(subject) : `${kind === 'google' ? 'ya29.' : ''}${opaque()}`
    const scopes = audience === GRAPH ? [] : permissions
    this.#issued.set(accessToken, { email, scopes, audience, clientId, expiresAt, family })
    const common = { token_type: 'Bearer', expires_in: this.#expiresInSeconds, access_token: accessToken }
    if (kind === 'google') return { ...common, scope: permissions.join(' ') }
    if (kind === 'generic') return { ...common, ...(family && { refresh_token: this.#grow(family) }) }
    return {
      ...common,
      ext_expires_in: this.#expiresInSeconds,
      scope: permissions.map((name) => `${audience}/${name}`).join(' '),
      ...(family && oidc.has('offline_access') && { refresh_token: this.#grow(family) }),
      ...(family && oidc.has('openid') && { id_token: entraIdToken(subject) }),
      ...(family && form.get('client_info') === '1' && { client_info: entraClientInfo(subject) }),
    }
  }

  #grow(family: Family, token = opaque()): string {
    this.#families.set(token, family)
    family.current.add(token)
    return token
  }
}

const sameName = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()
const isOther = (tenant: string): tenant is 'google' | 'generic' => tenant === 'google' || tenant === 'generic'
const opaque = (): string => randomBytes(64).toString('base64url')
const newFamily = ({ email, clientId }: SandboxGrant): Family => ({
  email,
  clientId,
  current: new Set(),
  revoked: false,
})

function permissionsOf(account: SandboxGrant): readonly string[] {
  if (account.permissions) return account.permissions
  if (account.tenant === 'google') return ['https://mail.google.com/']
  const appOnly = account.flows.includes('client_credentials')
  return appOnly ? ['POP.AccessAsApp', 'SMTP.SendAsApp'] : ['POP.AccessAsUser.All', 'SMTP.Send']
}

function secretMistake(ofClient: Accounts, secret: string | null, flow: SandboxFlow): SandboxRefusal | undefined {
  const secrets = new Set(ofClient.map((account) => account.clientSecret))
  if (secret === null && secrets.has(null) && flow !== 'client_credentials') return undefined
  if (secret === null) return 'client_secret_missing'
  if (secrets.size === 1 && secrets.has(null)) return 'client_secret_unwanted'
  const owners = ofClient.filter((account) => account.clientSecret === secret)
  if (owners.length === 0) return 'client_secret_invalid'
  return owners.map((account) => account.state).find((state) => state === 'client_secret_expired')
}

function refusalAnswer(refusal: SandboxRefusal, { kind, tenant, clientId, form }: Asked, now: Date): Answer {
  const [, code, error = '', words = ''] = /^(?:(\d+) )?(\S+) (.*)$/.exec(lineOf(refusal, kind)) ?? []
  const status = refusal === 'token_endpoint_throttled' ? 429 : (HTTP_STATUS.get(error) ?? 400)
  const headers = status === 429 ? { 'retry-after': '30' } : undefined
  if (code === undefined) {
    const subtype = /\((invalid_rapt)\)/.exec(words)?.[1]
    const body = { error, error_description: words, ...(subtype && { error_subtype: subtype }) }
    return { status, headers, body: JSON.stringify(body, null, 2) }
  }
  const said: Record<string, string> = { client: clientId, tenant, scope: form.get('scope') ?? '' }
  const sentence = words.replaceAll(/\{(client|tenant|scope)\}/g, (_, name: string) => said[name] ?? '')
  const timestamp = now.toISOString().replace('T', ' ').replace(/\.\d+/, '')
  const [traceId, correlationId] = [randomUUID(), form.get('client-request-id') ?? randomUUID()]
  const description = `AADSTS${code}: ${sentence} Trace ID: ${traceId} Correlation ID: ${correlationId} Timestamp: ${timestamp}`
  const trace = { timestamp, trace_id: traceId, correlation_id: correlationId }
  const uri = `https://login.microsoftonline.com/error?code=${code}`
  const body = { error, error_description: description, error_codes: [Number(code)], ...trace, error_uri: uri }
  return { status, headers, body: JSON.stringify(body) }
}

function lineOf(refusal: SandboxRefusal, kind: Kind): string {
  if (kind === 'microsoft') return ENTRA[refusal]
  if (kind === 'google') return GOOGLE[refusal] ?? 'invalid_grant Token has been expired or revoked.'
  const error = ENTRA[refusal].split(' ')[1]
  return `${error === 'unauthorized_client' ? 'invalid_client' : error} ${refusal.replaceAll('_', ' ')}`
}
