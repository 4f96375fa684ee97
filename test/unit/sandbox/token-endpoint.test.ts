import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makePki, type Pki } from '../../../src/sandbox/pki.ts'
import { startTokenEndpoint, type SandboxGrant, type TokenEndpoint } from '../../../src/sandbox/token-endpoint.ts'

const MAIL =
  'https://outlook.office.com/POP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access openid'
const NOW = new Date('2026-11-23T10:00:00Z')
const contoso = { tenant: 'contoso.example', clientId: 'app', clientSecret: 's3cret', flows: ['password'] } as const
const ACCOUNTS: SandboxGrant[] = [
  { ...contoso, email: 'ok@contoso.example', password: 'pw', refreshToken: 'seed' },
  { ...contoso, email: 'mfa@contoso.example', password: 'pw', state: 'mfa_required' },
  { ...contoso, email: 'pop-only@contoso.example', password: 'pw', permissions: ['POP.AccessAsUser.All'] },
  { ...contoso, email: 'old@contoso.example', clientId: 'old-app', password: 'pw', state: 'client_secret_expired' },
  { ...contoso, email: 'public@contoso.example', clientId: 'public', clientSecret: null, password: 'pw' },
  { ...contoso, email: 'robot@contoso.example', clientId: 'robot', flows: ['client_credentials'] },
  {
    ...contoso,
    email: 'idle@contoso.example',
    clientId: 'idle',
    flows: ['client_credentials'],
    state: 'consent_missing',
  },
  { ...contoso, email: 'g@gmail.example', tenant: 'google', refreshToken: 'g-seed', flows: ['refresh_token'] },
  { ...contoso, email: 'k@sso.example', tenant: 'generic', refreshToken: 'k-seed', flows: ['refresh_token'] },
]

let pki: Pki
let endpoint: TokenEndpoint
beforeAll(async () => {
  pki = await makePki()
})
beforeEach(async () => {
  endpoint = await startTokenEndpoint({
    tls: { key: pki.keyPem, cert: pki.certPem },
    accounts: ACCOUNTS,
    expiresInSeconds: 4000,
    clock: { now: () => NOW },
  })
})
afterEach(() => endpoint.close())

interface Answered {
  readonly status: number
  readonly headers: Record<string, unknown>
  readonly body: Record<string, string> & { error_codes?: number[]; expires_in?: number }
}

async function post(tenant: string, form: Record<string, string>): Promise<Answered> {
  const url = new URL(endpoint.tokenUrl(tenant))
  const sent = request({
    host: '127.0.0.1',
    port: url.port,
    path: url.pathname,
    method: 'POST',
    ca: pki.caPem,
    agent: false,
  })
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.on('response', resolve).on('error', reject)
    sent.end(new URLSearchParams(form).toString())
  })
  return { status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(await text(response)) }
}

const password = (email: string, changes: Record<string, string> = {}): Record<string, string> => ({
  grant_type: 'password',
  client_id: 'app',
  client_secret: 's3cret',
  username: email,
  password: 'pw',
  scope: MAIL,
  ...changes,
})
const without = (form: Record<string, string>, name: string): Record<string, string> =>
  Object.fromEntries(Object.entries(form).filter(([key]) => key !== name))
const claimsOf = (token = ''): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

describe('an Entra token', () => {
  test('carries the claims POP3 and SMTP look at, and opens the mailbox of the user', async () => {
    const { status, body } = await post('contoso.example', password('ok@contoso.example', { client_info: '1' }))
    expect(status).toBe(200)
    expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 4000, id_token: expect.stringMatching(/^ey/) })
    const claims = claimsOf(body['access_token'])
    expect(claims).toMatchObject({
      aud: 'https://outlook.office.com',
      scp: 'POP.AccessAsUser.All SMTP.Send',
      appid: 'app',
      upn: 'ok@contoso.example',
      exp: NOW.getTime() / 1000 + 4000,
    })
    expect(JSON.parse(Buffer.from(body['client_info'] ?? '', 'base64url').toString())).toEqual({
      uid: claims['oid'],
      utid: claims['tid'],
    })
    expect(endpoint.check(body['access_token'] ?? '')).toMatchObject({
      email: 'ok@contoso.example',
      scopes: ['POP.AccessAsUser.All', 'SMTP.Send'],
      expiresAt: new Date('2026-11-23T11:06:40Z'),
    })
    expect(endpoint.check('invented')).toBeUndefined()
  })

  test('brings a refresh token only with offline_access, and an identity token only with openid', async () => {
    const form = password('ok@contoso.example', { scope: 'https://outlook.office.com/POP.AccessAsUser.All' })
    const { body } = await post('contoso.example', form)
    expect(Object.keys(body)).toEqual(['token_type', 'expires_in', 'access_token', 'ext_expires_in', 'scope'])
  })

  test('for a permission without a resource is one for Microsoft Graph and opens no mailbox', async () => {
    const { body } = await post(
      'contoso.example',
      password('ok@contoso.example', { scope: 'SMTP.Send offline_access' }),
    )
    expect(claimsOf(body['access_token'])['aud']).toBe('https://graph.microsoft.com')
    expect(endpoint.check(body['access_token'] ?? '')?.scopes).toEqual([])
  })

  test('for an app has roles, and silently none where nothing was granted', async () => {
    const form = {
      grant_type: 'client_credentials',
      client_secret: 's3cret',
      scope: 'https://outlook.office365.com/.default',
    }
    const granted = await post('contoso.example', { ...form, client_id: 'robot' })
    expect(claimsOf(granted.body['access_token'])).toMatchObject({
      aud: 'https://outlook.office365.com',
      roles: ['POP.AccessAsApp', 'SMTP.SendAsApp'],
    })
    expect(endpoint.check(granted.body['access_token'] ?? '')?.email).toBe('robot')
    expect(granted.body['refresh_token']).toBeUndefined()
    const idle = await post('contoso.example', { ...form, client_id: 'idle' })
    expect(idle.status).toBe(200)
    expect(claimsOf(idle.body['access_token'])).not.toHaveProperty('roles')
  })

  test('is renewed by a new refresh token while the old one stays good', async () => {
    const form = {
      grant_type: 'refresh_token',
      client_id: 'app',
      client_secret: 's3cret',
      refresh_token: 'seed',
      scope: MAIL,
    }
    const first = await post('contoso.example', form)
    expect(first.body['refresh_token']).not.toBe('seed')
    expect((await post('contoso.example', form)).status).toBe(200)
    expect((await post('contoso.example', { ...form, refresh_token: first.body['refresh_token'] ?? '' })).status).toBe(
      200,
    )
  })
})

describe('Entra refuses in its own words', () => {
  const ok = password('ok@contoso.example')
  test.each<[string, string, Record<string, string>, number, number]>([
    ['an unknown tenant', 'nobody.example', ok, 400, 90002],
    ['an unknown app', 'contoso.example', { ...ok, client_id: 'other' }, 400, 700016],
    ['a wrong secret', 'contoso.example', { ...ok, client_secret: 'x' }, 401, 7000215],
    ['an expired secret', 'contoso.example', password('old@contoso.example', { client_id: 'old-app' }), 401, 7000222],
    ['a missing secret', 'contoso.example', without(ok, 'client_secret'), 401, 7000218],
    [
      'a secret from a public client',
      'contoso.example',
      password('public@contoso.example', { client_id: 'public' }),
      401,
      700025,
    ],
    ['a wrong password', 'contoso.example', { ...ok, password: 'x' }, 400, 50126],
    ['an unknown user', 'contoso.example', { ...ok, username: 'x@contoso.example' }, 400, 50034],
    ['a user who needs a second factor', 'contoso.example', password('mfa@contoso.example'), 400, 50076],
    ['a permission nobody consented to', 'contoso.example', password('pop-only@contoso.example'), 400, 65001],
    [
      'a scope of an unknown host',
      'contoso.example',
      { ...ok, scope: 'https://foo.example/POP.AccessAsUser.All' },
      400,
      70011,
    ],
    [
      'scopes of two resources',
      'contoso.example',
      { ...ok, scope: `${MAIL} https://graph.microsoft.com/Mail.Read` },
      400,
      70011,
    ],
    ['no grant type', 'contoso.example', without(ok, 'grant_type'), 400, 900144],
    ['an unknown grant type', 'contoso.example', { ...ok, grant_type: 'x' }, 400, 70003],
    ['a password at /common', 'common', ok, 400, 9001023],
    [
      'a damaged refresh token',
      'contoso.example',
      { ...ok, grant_type: 'refresh_token', refresh_token: 'x' },
      400,
      9002313,
    ],
    [
      'an app scope that is not .default',
      'contoso.example',
      { ...ok, client_id: 'robot', grant_type: 'client_credentials' },
      400,
      1002012,
    ],
  ])('%s', async (_what, tenant, form, status, code) => {
    const answered = await post(tenant, form)
    expect(answered.status).toBe(status)
    expect(answered.body.error_codes).toEqual([code])
    expect(answered.body['error_description']).toMatch(
      new RegExp(`^AADSTS${code}: .+ Trace ID: \\S+ Correlation ID: \\S+ Timestamp: 2026-11-23 10:00:00Z$`),
    )
    expect(answered.body).toMatchObject({
      error: expect.any(String),
      trace_id: expect.any(String),
      timestamp: '2026-11-23 10:00:00Z',
    })
  })

  test('a new secret once the expired one was replaced', async () => {
    const account = ACCOUNTS.find((known) => known.clientId === 'old-app')
    if (account) endpoint.setAccount({ ...account, clientSecret: 'new', state: 'ok' })
    expect(
      (await post('contoso.example', password('old@contoso.example', { client_id: 'old-app', client_secret: 'new' })))
        .status,
    ).toBe(200)
  })
})

const renew = (token: string) => ({
  grant_type: 'refresh_token',
  client_id: 'app',
  client_secret: 's3cret',
  refresh_token: token,
})

describe('the other providers', () => {
  test('Google answers with an opaque token, keeps the refresh token, and knows no passwords', async () => {
    const { body } = await post('google', renew('g-seed'))
    expect(body['access_token']).toMatch(/^ya29\./)
    expect(body).not.toHaveProperty('refresh_token')
    expect(endpoint.check(body['access_token'] ?? '')?.scopes).toEqual(['https://mail.google.com/'])
    expect((await post('google', password('g@gmail.example'))).body['error']).toBe('unsupported_grant_type')
    endpoint.revoke('g@gmail.example')
    expect((await post('google', renew('g-seed'))).body).toEqual({
      error: 'invalid_grant',
      error_description: 'Token has been expired or revoked.',
    })
    expect(endpoint.check(body['access_token'] ?? '')).toBeUndefined()
  })

  test('a strict server revokes the whole family when an old refresh token comes back', async () => {
    const first = await post('generic', renew('k-seed'))
    const second = await post('generic', renew(first.body['refresh_token'] ?? ''))
    expect(second.status).toBe(200)
    expect((await post('generic', renew('k-seed'))).body['error']).toBe('invalid_grant')
    expect((await post('generic', renew(second.body['refresh_token'] ?? ''))).body['error']).toBe('invalid_grant')
    expect(endpoint.check(second.body['access_token'] ?? '')).toBeUndefined()
  })
})

describe('the script of a test', () => {
  test('disturbs the next request only, or one account until it is cleared', async () => {
    endpoint.answerNext('token_endpoint_throttled')
    const throttled = await post('contoso.example', password('ok@contoso.example'))
    expect(throttled.status).toBe(429)
    expect(throttled.headers['retry-after']).toBe('30')
    endpoint.setFault('OK@contoso.example', 'account_locked')
    expect((await post('contoso.example', password('ok@contoso.example'))).body.error_codes).toEqual([50053])
    expect(
      (
        await post(
          'contoso.example',
          password('pop-only@contoso.example', { scope: 'https://outlook.office.com/POP.AccessAsUser.All' }),
        )
      ).status,
    ).toBe(200)
    endpoint.clearFault('ok@contoso.example')
    expect((await post('contoso.example', password('ok@contoso.example'))).status).toBe(200)
    endpoint.setFault('app', { status: 418, body: '{"tea":"pot"}' })
    expect((await post('contoso.example', password('ok@contoso.example'))).body).toEqual({ tea: 'pot' })
  })

  test('cuts the connection before the request counts, or after', async () => {
    const form = { grant_type: 'refresh_token', client_id: 'app', client_secret: 's3cret', refresh_token: 'k-seed' }
    endpoint.answerNext({ cut: 'before' })
    await expect(post('generic', form)).rejects.toThrow('socket hang up')
    endpoint.answerNext({ cut: 'after' })
    await expect(post('generic', form)).rejects.toThrow('socket hang up')
    // The first cut left the token current, the second had rotated it away.
    expect((await post('generic', form)).body['error']).toBe('invalid_grant')
  })

  test('sees every request and its outcome, but no secret', async () => {
    const seen: string[] = []
    const stop = endpoint.onRequest((asked, outcome) => seen.push(`${asked.username} ${outcome}`))
    await post('contoso.example', password('ok@contoso.example'))
    await post('contoso.example', password('mfa@contoso.example'))
    stop()
    await post('contoso.example', password('ok@contoso.example'))
    expect(seen).toEqual(['ok@contoso.example issued', 'mfa@contoso.example mfa_required'])
    expect(endpoint.requests).toHaveLength(3)
    expect(endpoint.requests[0]).toEqual({
      at: NOW,
      path: '/contoso.example/oauth2/v2.0/token',
      grantType: 'password',
      username: 'ok@contoso.example',
      clientId: 'app',
      scope: MAIL,
      withClientSecret: true,
    })
  })
})
