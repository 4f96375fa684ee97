// The simulator's token endpoint (RFC 6749 sections 3.2, 4.3, 4.4, 5, 6). One https server plays three kinds of provider:
// /<tenant>/oauth2/v2.0/token answers like Microsoft Entra, /google/token like oauth2.googleapis.com, and /generic/token
// rotates refresh tokens strictly: an old one that comes back revokes its whole family (RFC 9700 section 4.14.2).

import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { later, SECOND_MS, systemClock, type Clock } from '../base/clock.ts'
import { Families, opaque, type Family } from './token-families.ts'
import { refusalAnswer, type Answer, type Asked, type Kind, type SandboxRefusal } from './token-refusals.ts'
import { claimsOf, signedClaims } from './assertions.ts'
import { SignIns, signInPage, type SignedInAs } from './sign-ins.ts'
import { entraAccessToken, entraClientInfo, entraIdToken, GRAPH, parseScope, scopeMistake } from './jwt.ts'

const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code'
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const FLOWS = [
  'password',
  'refresh_token',
  'client_credentials',
  'authorization_code',
  DEVICE_CODE,
  JWT_BEARER,
] as const
export type SandboxFlow = 'password' | 'refresh_token' | 'client_credentials'

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
  /** Of the app's certificate, or of the service account. */
  readonly publicKeyPem?: string
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

type Outcome = 'issued' | SandboxRefusal
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
  readonly #families: Families
  readonly signIns: SignIns
  readonly #issued = new Map<string, TokenCheck & { readonly family: Family | undefined }>()
  readonly #faults = new Map<string, SandboxRefusal | ScriptedAnswer>()
  readonly #next: (SandboxRefusal | ScriptedAnswer)[] = []
  readonly #listeners = new Set<(request: TokenRequestSeen, outcome: Outcome) => void>()
  readonly #closing = new AbortController()

  constructor(o: TokenEndpointOptions) {
    this.#clock = o.clock ?? systemClock
    this.#families = new Families(this.#clock)
    this.signIns = new SignIns(this.#clock)
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
      this.#families.grow(this.#families.found(account, kindOf(account.tenant)), account.refreshToken)
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
    this.#families.revoke(email)
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
    const { pathname: path, searchParams: query } = new URL(request.url ?? '/', this.url)
    const form = new URLSearchParams(await text(request))
    if (path.endsWith('/authorize')) return this.#signIn(request.method ?? '', path, query, form, response)
    if (path.endsWith('/devicecode')) return void response.end(JSON.stringify(this.signIns.beginDevice(form, this.url)))
    const tenant = path.split('/')[1] ?? ''
    const kind = kindOf(tenant)
    const asked = { kind, tenant, form, clientId: form.get('client_id') ?? '' } as const
    const seen: TokenRequestSeen = {
      at: this.#clock.now(),
      path,
      grantType: form.get('grant_type') ?? '',
      username: form.get('username') ?? this.#families.of(form.get('refresh_token') ?? '')?.email ?? '',
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
      const status = !refused && 'error' in result ? 400 : 200
      answer = refused ? refusalAnswer(result, asked, seen.at) : { status, body: JSON.stringify(result) }
      for (const listener of this.#listeners) listener(seen, refused ? result : 'issued')
    }
    if (script.cut === 'after') return void request.socket.destroy()
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers, ...script.headers })
    response.end(answer.body)
  }

  /** GET shows the form, POST is what it sends. */
  #signIn(method: string, path: string, query: URLSearchParams, form: URLSearchParams, response: ServerResponse): void {
    const tenant = path.split('/')[1] ?? ''
    const go = (to: string): void => void response.writeHead(302, { location: to }).end()
    if (method !== 'POST')
      return void response
        .writeHead(200, { 'content-type': 'text/html' })
        .end(signInPage(query.get('login_hint') ?? ''))
    const account = this.#accounts.get((form.get('username') ?? '').toLowerCase())
    if (!account || account.password !== form.get('password'))
      return void response.writeHead(401, { 'content-type': 'text/html' }).end(signInPage(''))
    if (account.state === 'consent_missing')
      return go(
        this.signIns.decline(query, 'access_denied', 'AADSTS65004: User declined to consent to access the app.'),
      )
    go(this.signIns.approve(kindOf(tenant), query, account.email, this.url))
  }

  /** The order of Entra's checks: request, tenant, app, scope, secret, user, password, policy, consent. */
  #issue(asked: Asked): object | SandboxRefusal {
    const { kind, form, tenant } = asked
    // Entra takes the short name as well, and MSAL gives that
    const named = form.get('grant_type') === 'device_code' ? DEVICE_CODE : form.get('grant_type')
    const flow = FLOWS.find((known) => known === named)
    if (!form.has('grant_type')) return 'grant_type_missing'
    const all = [...this.#accounts.values()]
    const inTenant = all.filter((a) => (SHARED_TENANTS.has(tenant) ? !isOther(a.tenant) : sameName(a.tenant, tenant)))
    if (inTenant.length === 0) return 'tenant_not_found'
    const issuer = form.has('assertion') ? claimsOf(form.get('assertion') ?? '')['iss'] : asked.clientId
    const ofClient = inTenant.filter((a) => sameName(a.clientId, String(issuer)))
    if (ofClient.length === 0) return 'app_not_found'
    for (const { state } of ofClient) if (state === 'app_not_found' || state === 'app_disabled') return state
    if (!flow || (kind === 'google' && flow === 'password')) return 'grant_type_unsupported'
    if (flow === JWT_BEARER) return this.#issueForAssertion(asked, ofClient)
    const mistake = kind === 'microsoft' ? scopeMistake(form.get('scope') ?? '', flow) : undefined
    const refusal = mistake ?? this.#proofMistake(asked, ofClient, flow)
    if (refusal) return refusal
    if (flow === 'authorization_code') return this.#issueForSignIn(asked, ofClient, this.signIns.redeem(form))
    if (flow === DEVICE_CODE) {
      const polled = this.signIns.pollDevice(form)
      return typeof polled === 'string' ? { error: polled } : this.#issueForSignIn(asked, ofClient, polled)
    }
    if (flow === 'client_credentials') return this.#issueToApp(asked, ofClient)
    return flow === 'password' ? this.#issueForPassword(asked, ofClient) : this.#refresh(asked, ofClient)
  }

  /** A certificate in place of a secret (RFC 7523 section 2.2). */
  #proofMistake({ tenant, form }: Asked, ofClient: Accounts, flow: string): SandboxRefusal | undefined {
    const assertion = form.get('client_assertion')
    if (assertion === null) return secretMistake(ofClient, form.get('client_secret'), flow)
    // servers take their own name, or that of the endpoint, for the audience
    const audiences: unknown[] = [this.tokenUrl(tenant), this.url]
    const proven = ofClient.some(
      ({ publicKeyPem: key }) => key && audiences.includes(signedClaims(assertion, key)?.['aud']),
    )
    return proven ? undefined : 'client_certificate_invalid'
  }

  #issueForSignIn(asked: Asked, ofClient: Accounts, as: SignedInAs | undefined): object | SandboxRefusal {
    if (!as) return 'auth_code_invalid'
    const account = ofClient.find((a) => sameName(a.email, as.email))
    if (!account) return 'user_not_found'
    if (account.state && account.state !== 'ok') return account.state
    const form = new URLSearchParams(asked.form)
    if (!form.has('scope')) form.set('scope', as.scope)
    const family = this.#families.found(account, asked.kind)
    return this.#tokens({ ...asked, form }, account, permissionsOf(account), family, as)
  }

  #issueForAssertion(asked: Asked, ofClient: Accounts): object | SandboxRefusal {
    const assertion = asked.form.get('assertion') ?? ''
    const [key] = ofClient.flatMap(({ publicKeyPem }) => publicKeyPem ?? [])
    const claims = key === undefined ? undefined : signedClaims(assertion, key)
    if (claims?.aud !== this.tokenUrl(asked.tenant)) return 'refresh_token_malformed'
    const account = this.#accounts.get(String(claims.sub).toLowerCase())
    if (!account) return 'user_not_found'
    return this.#tokens(asked, account, permissionsOf(account), undefined)
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
    return this.#tokens(asked, account, permissionsOf(account), this.#families.found(account, asked.kind))
  }

  #refresh(asked: Asked, ofClient: Accounts): object | SandboxRefusal {
    const presented = asked.form.get('refresh_token') ?? ''
    const family = this.#families.of(presented)
    const account = ofClient.find((a) => family && sameName(a.email, family.email))
    if (!family || !account || !sameName(family.clientId, asked.clientId)) return 'refresh_token_malformed'
    const dead = this.#families.present(presented, family)
    if (dead) return dead
    // A password that was changed elsewhere shows at the refresh as a revoked grant.
    if (account.state === 'invalid_credentials') return 'refresh_token_revoked'
    if (account.state && account.state !== 'ok') return account.state
    const answer = this.#tokens(asked, account, permissionsOf(account), family)
    if (typeof answer === 'object') family.current.delete(presented)
    return answer
  }

  #tokens(
    asked: Asked,
    owner: Owner,
    granted: readonly string[],
    family: Family | undefined,
    signedIn?: SignedInAs,
  ): object | SandboxRefusal {
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
    const nonce = signedIn?.nonce
    const idToken = entraIdToken({ ...subject, ...(nonce !== undefined && { nonce }) })
    if (kind === 'google')
      return {
        ...common,
        scope: permissions.join(' '),
        ...(signedIn && family && { refresh_token: this.#families.grow(family), id_token: idToken }),
      }
    if (kind === 'generic')
      return {
        ...common,
        ...(family && { refresh_token: this.#families.grow(family) }),
        ...(signedIn && { id_token: idToken }),
      }
    return {
      ...common,
      ext_expires_in: this.#expiresInSeconds,
      scope: permissions.map((name) => `${audience}/${name}`).join(' '),
      ...(family && oidc.has('offline_access') && { refresh_token: this.#families.grow(family) }),
      ...(family && oidc.has('openid') && { id_token: idToken }),
      ...(family && form.get('client_info') === '1' && { client_info: entraClientInfo(subject) }),
    }
  }
}

const sameName = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()
const isOther = (tenant: string): tenant is 'google' | 'generic' => tenant === 'google' || tenant === 'generic'
const kindOf = (tenant: string): Kind => (isOther(tenant) ? tenant : 'microsoft')
function permissionsOf(account: SandboxGrant): readonly string[] {
  if (account.permissions) return account.permissions
  if (account.tenant === 'google') return ['https://mail.google.com/']
  const appOnly = account.flows.includes('client_credentials')
  return appOnly ? ['POP.AccessAsApp', 'SMTP.SendAsApp'] : ['POP.AccessAsUser.All', 'SMTP.Send']
}

function secretMistake(ofClient: Accounts, secret: string | null, flow: string): SandboxRefusal | undefined {
  const secrets = new Set(ofClient.map((account) => account.clientSecret))
  if (secret === null && secrets.has(null) && flow !== 'client_credentials') return undefined
  if (secret === null) return 'client_secret_missing'
  if (secrets.size === 1 && secrets.has(null)) return 'client_secret_unwanted'
  const owners = ofClient.filter((account) => account.clientSecret === secret)
  if (owners.length === 0) return 'client_secret_invalid'
  return owners.map((account) => account.state).find((state) => state === 'client_secret_expired')
}
