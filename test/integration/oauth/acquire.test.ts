import { inspect } from 'node:util'
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { createNet } from '../../../src/net/dial.ts'
import { NetError, type Net } from '../../../src/net/net.ts'
import { acquireToken } from '../../../src/oauth/acquire.ts'
import { readClaims } from '../../../src/oauth/claims.ts'
import type { TokenGrant, TokenRequest } from '../../../src/oauth/token.ts'
import { makePki, type Pki } from '../../../src/sandbox/pki.ts'
import { startTokenEndpoint, type SandboxGrant, type TokenEndpoint } from '../../../src/sandbox/token-endpoint.ts'

const NOW = new Date('2026-11-23T10:00:00Z')
const IN_AN_HOUR = new Date('2026-11-23T10:59:59Z')
const SCOPE = 'https://outlook.office.com/POP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access'
const APP_SCOPE = 'https://outlook.office365.com/.default'
// Everything a form, a URL or a JSON text would have to escape.
const PASSWORD = 'Pass&wort=1+ %ü"\\canary'
const SECRET = 's&c=r+t %ä"~canary'
const PUBLIC = { proof: { kind: 'none' } } as const
const BY_SECRET: TokenRequest['proof'] = { kind: 'secret', secret: SECRET }
const SEED = 'seed-refresh+/token=canary'

const lookup = async () => [{ address: '127.0.0.1', family: 4 }]

let pki: Pki
let endpoint: TokenEndpoint
let net: Net & { close(): Promise<void> }
beforeAll(async () => {
  pki = await makePki()
})
const info = {
  email: 'info@contoso.example',
  tenant: 'contoso.example',
  clientId: 'confidential',
  clientSecret: SECRET,
  password: PASSWORD,
  refreshToken: SEED,
  flows: ['password'],
} satisfies SandboxGrant
const google = { ...info, tenant: 'google', email: 'g@gmail.example', clientId: 'g', refreshToken: 'g-seed' }
const generic = { ...info, tenant: 'generic', email: 'k@sso.example', clientId: 'k', refreshToken: 'k-seed' }
const accounts: SandboxGrant[] = [
  info,
  { ...info, email: 'desk@contoso.example', clientId: 'public', clientSecret: null, refreshToken: 'other-seed' },
  { ...info, email: 'robot@contoso.example', clientId: 'robot', flows: ['client_credentials'] },
  google,
  generic,
  { ...generic, email: 'p@sso.example', clientId: 'kp', clientSecret: null, refreshToken: 'kp-seed' },
]

beforeEach(async () => {
  const tls = { key: pki.keyPem, cert: pki.certPem }
  endpoint = await startTokenEndpoint({ tls, clock: { now: () => NOW }, accounts })
  net = createNet({ allowPrivate: ['127.0.0.1/32'], extraCaPem: pki.caPem, lookup })
})
afterEach(async () => {
  await net.close()
  await endpoint.close()
})

const ask = (changes: Partial<TokenRequest>): TokenRequest => ({
  provider: 'microsoft',
  tokenEndpoint: endpoint.tokenUrl('contoso.example'),
  clientId: 'confidential',
  proof: BY_SECRET,
  scope: SCOPE,
  flow: 'password',
  username: 'info@contoso.example',
  credential: { password: PASSWORD },
  ...changes,
})
const seeded = { flow: 'refresh_token', credential: { refreshToken: SEED } } as const
const asPublic = { clientId: 'public', ...PUBLIC, username: 'desk@contoso.example' }
const asGoogle = (): Partial<TokenRequest> => ({
  provider: 'google',
  tokenEndpoint: endpoint.tokenUrl('google'),
  clientId: 'g',
  scope: 'https://mail.google.com/',
  flow: 'refresh_token',
  username: 'g@gmail.example',
  credential: { refreshToken: 'g-seed' },
})
const asGeneric = (): Partial<TokenRequest> => ({
  provider: 'generic',
  tokenEndpoint: endpoint.tokenUrl('generic'),
  clientId: 'k',
  scope: 'mail',
  username: 'k@sso.example',
})

const acquire = (request: TokenRequest, signal?: AbortSignal, over: Net = net): Promise<TokenGrant> =>
  acquireToken(over, request, { clock: { now: () => NOW }, ...(signal && { signal }) })

async function refused(request: TokenRequest): Promise<Failure> {
  const error: unknown = await acquire(request).catch((reason: unknown) => reason)
  if (!(error instanceof Failure)) throw new Error('that was no Failure', { cause: error })
  expect(error.stage).toBe('token')
  return error
}

const grantTypes = (): string[] => endpoint.requests.map((seen) => seen.grantType)

describe('Microsoft', () => {
  test.each([
    ['a confidential client', {}, 'info@contoso.example'],
    ['a public client', asPublic, 'desk@contoso.example'],
  ])('gives %s a token for user name and password with one request', async (_who, client, email) => {
    const { accessToken, expiresAt, credential } = await acquire(ask(client))
    expect(endpoint.check(accessToken)).toMatchObject({ email, scopes: ['POP.AccessAsUser.All', 'SMTP.Send'] })
    expect(readClaims(accessToken)).toMatchObject({ username: email, audience: 'https://outlook.office.com' })
    expect(expiresAt).toEqual(IN_AN_HOUR)
    expect(credential.password).toBe(PASSWORD)
    expect(endpoint.requests).toHaveLength(1)
    expect(endpoint.requests[0]).toMatchObject({ grantType: 'password', withClientSecret: !('proof' in client) })
  })

  test('is asked by refresh token the next time, so that the password is rarely sent', async () => {
    const first = await acquire(ask({}))
    const second = await acquire(ask({ credential: first.credential }))
    const third = await acquire(ask({ credential: second.credential }))
    expect(grantTypes()).toEqual(['password', 'refresh_token', 'refresh_token'])
    expect(new Set([first, second, third].map((grant) => grant.accessToken)).size).toBe(3)
    expect(third.credential.msalCache).not.toBe(second.credential.msalCache)
  })

  test('is asked by password again when the refresh token turns out dead', async () => {
    const { credential } = await acquire(ask({}))
    endpoint.revoke('info@contoso.example')
    const again = await acquire(ask({ credential }))
    expect(grantTypes()).toEqual(['password', 'refresh_token', 'password'])
    const more = await acquire(ask({ credential: again.credential }))
    expect(endpoint.check(more.accessToken)?.email).toBe('info@contoso.example')
  })

  test.each(['mfa_required', 'account_disabled', 'conditional_access_blocked', 'token_endpoint_unavailable'] as const)(
    'is not sent the password after a refresh was refused as %s, which would only count towards the lockout',
    async (refusal) => {
      const { credential } = await acquire(ask({}))
      endpoint.answerNext(refusal)
      await refused(ask({ credential }))
      expect(grantTypes()).toEqual(['password', 'refresh_token'])
    },
  )

  test('is not asked a second time when the answer to a refresh got lost', async () => {
    const { credential } = await acquire(ask({}))
    endpoint.answerNext({ cut: 'after' })
    await refused(ask({ credential }))
    expect(grantTypes()).toEqual(['password', 'refresh_token'])
  })

  test("is never asked with a left-over token of the user name's predecessor", async () => {
    const { credential } = await acquire(ask({}))
    endpoint.setAccount({ ...info, email: 'new@contoso.example' })
    const { accessToken } = await acquire(ask({ credential, username: 'new@contoso.example' }))
    expect(endpoint.check(accessToken)?.email).toBe('new@contoso.example')
  })

  test.each([
    ['a confidential client', seeded],
    ['a public client', { ...asPublic, flow: 'refresh_token', credential: { refreshToken: 'other-seed' } } as const],
  ])('renews from a given refresh token for %s, and keeps the rotated one', async (_who, changes) => {
    const first = await acquire(ask(changes))
    expect(first.expiresAt).toEqual(IN_AN_HOUR)
    expect(first.credential.refreshToken).toBeUndefined()
    const second = await acquire(ask({ ...changes, credential: first.credential }))
    expect(endpoint.check(second.accessToken)).toBeDefined()
    expect(grantTypes()).toEqual(['refresh_token', 'refresh_token'])
    expect(second.credential.msalCache).not.toContain(`"${first.accessToken}"`)
  })

  test('is asked with the refresh token that stands beside a cache, since somebody just signed in again', async () => {
    const { credential } = await acquire(ask(seeded))
    endpoint.setAccount({ ...info, email: 'new@contoso.example', refreshToken: 'fresh' })
    const first = await acquire(ask({ ...seeded, credential: { ...credential, refreshToken: 'fresh' } }))
    expect(first.credential).toEqual({ msalCache: expect.any(String) })
    const second = await acquire(ask({ ...seeded, credential: first.credential }))
    expect(endpoint.check(second.accessToken)?.email).toBe('new@contoso.example')
  })

  test('may answer without saying who the user is, or without a new refresh token: the grant lives on', async () => {
    const plain = { token_type: 'Bearer', access_token: 'opaque', expires_in: '600' }
    endpoint.answerNext({ body: JSON.stringify({ ...plain, refresh_token: 'rotated' }) })
    const first = await acquire(ask(seeded))
    expect(first).toEqual({
      accessToken: 'opaque',
      expiresAt: new Date('2026-11-23T10:10:00Z'),
      credential: { refreshToken: 'rotated' },
    })
    endpoint.answerNext({ body: JSON.stringify(plain) })
    expect((await acquire(ask({ ...seeded, credential: first.credential }))).credential).toEqual({
      refreshToken: 'rotated',
    })
  })

  test('gives an app its own token and stores nothing new', async () => {
    const app = {
      clientId: 'robot',
      flow: 'client_credentials',
      scope: `${APP_SCOPE} offline_access`,
      credential: {},
    } as const
    const { accessToken, credential, expiresAt } = await acquire(ask(app))
    expect(readClaims(accessToken)?.roles).toEqual(['POP.AccessAsApp', 'SMTP.SendAsApp'])
    expect(credential).toEqual({})
    expect(expiresAt).toEqual(IN_AN_HOUR)
    expect(endpoint.requests.map((seen) => seen.scope)).toEqual([APP_SCOPE])
  })

  test('understands .default, and at its real host needs no discovery either', async () => {
    const host = 'https://login.microsoftonline.com'
    const asked: string[] = []
    const detour: Net = {
      ...net,
      fetch(url, options) {
        asked.push(url.replace(/\?.*/, ''))
        return net.fetch(url.replace(host, endpoint.url), options)
      },
    }
    const tokenEndpoint = `${host}/contoso.example/oauth2/v2.0/token`
    const request = ask({ tokenEndpoint, scope: `${APP_SCOPE} offline_access` })
    const { accessToken, credential } = await acquire(request, undefined, detour)
    await acquire({ ...request, credential }, undefined, detour)
    expect(readClaims(accessToken)?.audience).toBe('https://outlook.office365.com')
    expect(asked).toEqual([tokenEndpoint, tokenEndpoint])
  })

  test('tells how long to wait when it is asked too often, and nothing else keeps the next request back', async () => {
    endpoint.answerNext('token_endpoint_throttled')
    const { verdict } = await refused(ask({}))
    expect(verdict).toMatchObject({ flag: 'token_endpoint_throttled', persistence: 'transient', retryAfterMs: 30_000 })
    await expect(acquire(ask({}))).resolves.toBeDefined()
  })
})

describe('Google and others', () => {
  test("Google's refresh token is kept, since none comes back", async () => {
    const { accessToken, credential, expiresAt } = await acquire(ask(asGoogle()))
    expect(endpoint.check(accessToken)?.email).toBe('g@gmail.example')
    expect(credential).toEqual({ refreshToken: 'g-seed' })
    expect(expiresAt).toEqual(IN_AN_HOUR)
    expect(endpoint.requests).toHaveLength(1)
  })

  test.each([
    ['a confidential client', { clientId: 'k', proof: BY_SECRET }, 'k-seed'],
    ['a public client', { clientId: 'kp', ...PUBLIC }, 'kp-seed'],
  ])('a strictly rotating server is followed token by token for %s', async (_who, client, refreshToken) => {
    let credential: TokenRequest['credential'] = { refreshToken }
    for (let i = 0; i < 3; i++) {
      ;({ credential } = await acquire(ask({ ...asGeneric(), ...client, flow: 'refresh_token', credential })))
    }
    expect(endpoint.requests).toHaveLength(3)
    expect(credential.refreshToken).not.toBe(refreshToken)
  })

  test('a generic server takes user name and password, and an app on its own', async () => {
    const byPassword = await acquire(ask({ ...asGeneric(), flow: 'password' }))
    expect(endpoint.check(byPassword.accessToken)?.email).toBe('k@sso.example')
    expect(byPassword.credential).toEqual({ password: PASSWORD })
    const byApp = await acquire(ask({ ...asGeneric(), flow: 'client_credentials', credential: {} }))
    expect(endpoint.check(byApp.accessToken)?.email).toBe('k')
    expect(endpoint.requests.map((seen) => `${seen.scope} ${seen.withClientSecret}`)).toEqual([
      'mail true',
      'mail true',
    ])
  })

  test('an identity token of an issuer nobody knows does no harm', async () => {
    endpoint.answerNext({ body: JSON.stringify({ access_token: 'x', id_token: 'not.a.jwt', expires_in: 0 }) })
    const grant = await acquire(ask(asGoogle()))
    expect(grant.expiresAt).toEqual(new Date('2026-11-23T10:01:00Z'))
  })
})

describe('a refusal', () => {
  test.each([
    ['mfa_required', 'AADSTS50076'],
    ['client_secret_expired', 'AADSTS7000222'],
    ['tenant_not_found', 'AADSTS90002'],
    ['security_defaults_block', 'AADSTS530035'],
  ] as const)('of Entra for %s shows the number %s', async (state, number) => {
    endpoint.answerNext(state)
    const { evidence, step, flag } = await refused(ask({}))
    expect(evidence).toContain(number)
    expect([step, flag]).toEqual(['password', state])
  })

  test.each<[string, () => Partial<TokenRequest>]>([
    ['Microsoft', () => seeded],
    ['a generic server', () => ({ ...asGeneric(), flow: 'refresh_token', credential: { refreshToken: 'k-seed' } })],
  ])('of %s is told in its own words, whatever they are', async (_who, changes) => {
    const html = '<html><body>Our services are not available right now</body></html>'
    endpoint.answerNext({ status: 503, body: html, headers: { 'content-type': 'text/html' } })
    expect((await refused(ask(changes()))).evidence).toContain('not available right now')
    endpoint.answerNext({ status: 200, body: html })
    expect((await refused(ask(changes()))).evidence).toContain('not available right now')
    endpoint.answerNext({ status: 200, body: '{"access_token": ' })
    expect((await refused(ask(changes()))).evidence).toContain('access_token')
    endpoint.answerNext({ status: 200, body: '' })
    expect((await refused(ask(changes()))).evidence).toContain('HTTP 200')
    endpoint.answerNext({ status: 302, headers: { location: 'https://portal.example/login?ticket=1' } })
    expect((await refused(ask(changes()))).evidence).toMatch(/HTTP 302.*https:\/\/portal\.example\/login$/)
    expect(endpoint.requests).toHaveLength(5)
  })

  test('of the network names the step and keeps its cause', async () => {
    endpoint.answerNext({ cut: 'before' })
    const cut = await refused(ask({}))
    expect(cut.step).toBe('http')
    expect(cut.evidence).toMatch(/closed/)
    const request = ask(asGoogle())
    await endpoint.close()
    const gone = await refused(request)
    expect(gone.step).toBe('connect')
    expect(gone.cause).toBeInstanceOf(NetError)
  })

  test.each<[string, Partial<TokenRequest>, RegExp]>([
    ['no password is stored', { credential: {} }, /no password/],
    ['no refresh token is stored', { flow: 'refresh_token', credential: {} }, /no refresh token/],
    ['an app has no secret', { flow: 'client_credentials', ...PUBLIC, scope: APP_SCOPE }, /no client secret/],
    ['the token endpoint is no URL', { tokenEndpoint: 'login microsoftonline' }, /not a URL/],
    ['the token endpoint is not https', { tokenEndpoint: 'http://sso.example/token' }, /https/],
  ])('is our own where %s, and nothing is sent', async (_what, changes, evidence) => {
    expect((await refused(ask(changes))).evidence).toMatch(evidence)
    expect(endpoint.requests).toHaveLength(0)
  })
})

describe('a stop', () => {
  test('before the request sends nothing', async () => {
    await expect(acquire(ask({}), AbortSignal.abort(new Error('shutdown')))).rejects.toThrow('shutdown')
    expect(endpoint.requests).toHaveLength(0)
  })

  test('after the request was sent waits for the answer, because the old refresh token may be gone', async () => {
    const stop = new AbortController()
    endpoint.answerNext({ delayMs: 50 })
    const running = acquire(
      ask({ ...asGeneric(), flow: 'refresh_token', credential: { refreshToken: 'k-seed' } }),
      stop.signal,
    )
    await vi.waitFor(() => expect(endpoint.requests).toHaveLength(1))
    stop.abort()
    expect((await running).credential.refreshToken).not.toBe('k-seed')
  })
})

/** A gateway that repeats everything it was sent in several spellings, beside tokens of its own. */
const echo = (sent: Record<string, string>): string =>
  JSON.stringify({
    error: 'invalid_request',
    error_description: Object.values(sent)
      .flatMap((secret) => [secret, encodeURIComponent(secret)])
      .join(' and '),
    form: new URLSearchParams(sent).toString(),
    access_token: 'at-canary',
    refresh_token: 'rt-"canary',
    log: 'POST id_token=other-canary&x=1',
  })

describe('no secret', () => {
  test.each<[string, Partial<TokenRequest>, Record<string, string>]>([
    ['a password', {}, { client_secret: SECRET, password: PASSWORD }],
    ['a refresh token', seeded, { client_secret: SECRET, refresh_token: SEED }],
    ['an app', { flow: 'client_credentials', scope: APP_SCOPE }, { client_secret: SECRET }],
  ])('shows in a refusal met with %s', async (_what, changes, sent) => {
    const unusable = echo(sent).replace('"access_token":"at-canary"', '"access_token":["at"]')
    for (const answer of [
      { status: 400, body: echo(sent) },
      { status: 200, body: unusable },
      { status: 200, body: echo(sent).replace('}', ', broken') },
      { cut: 'after' as const },
    ]) {
      endpoint.answerNext(answer)
      const failure = await refused(ask(changes))
      const told = [
        failure.stack,
        failure.evidence,
        JSON.stringify(failure),
        inspect(failure, { depth: 9, showHidden: true }),
      ]
      expect(told.join()).not.toMatch(/canary/)
    }
  })

  test('of the stored cache shows either', async () => {
    const { credential } = await acquire(ask({}))
    const [, refreshToken = ''] = /"secret":"(1?[^".]+)"/.exec(credential.msalCache ?? '') ?? []
    expect(refreshToken).not.toBe('')
    const words = `canary ${refreshToken}`
    endpoint.answerNext({
      status: 400,
      body: JSON.stringify({ error: 'interaction_required', error_description: words }),
    })
    expect((await refused(ask({ credential }))).evidence).toContain('canary ***')
  })
})
