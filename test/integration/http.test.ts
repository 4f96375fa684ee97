// What the HTTP side answers besides its pages: explanations, figures, the calendar, and the pages of a sign-in.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { sql } from 'kysely'
import { readConfig } from '../../src/base/config.ts'
import type { Service } from '../../src/cli/installation.ts'
import { startService } from '../../src/compose.ts'
import { beginByLink, requireSignIn } from '../../src/credentials/sign-in.ts'
import { findAccount } from '../../src/db/accounts.ts'
import { askAs, askWith } from '../support/api.ts'
import { removeFolder, tempFolder } from '../support/child.ts'
import { openSignInWorld, type SignInWorld } from '../support/sign-in.ts'

const EMAIL = 'info@firma.example'
let world: SignInWorld
let service: Service
let base = ''
const data = tempFolder('http')

beforeAll(async () => {
  world = await openSignInWorld({ emails: [EMAIL, 'other@firma.example'] })
  const { house } = world
  const config = { ...readConfig({ POSTSTELLE_HTTP: '127.0.0.1:0', POSTSTELLE_DATA: data }), redisUrl: undefined }
  service = await startService(
    {
      ...house,
      config,
      databaseUrl: house.database.url,
      version: 'test',
      databaseGone: new Promise<never>(() => undefined),
    },
    new Set(['api']),
    () => undefined,
  )
  base = service.url ?? ''
})
afterAll(async () => {
  await service.stop()
  await world.close()
  removeFolder(data)
})

const post = async (path: string, body: unknown) =>
  await (
    await askWith(world.house.db, base, 'reader')
  )('POST', path, body)

describe('POST /api/v1/classify', () => {
  test('explains a pasted reply in the language asked for', async () => {
    const answer = await post('/api/v1/classify', {
      reply: 'AADSTS7000222: The provided client secret keys are expired.',
      lang: 'de',
    })
    expect(answer.status).toBe(200)
    expect(answer.json).toMatchObject({ flag: 'client_secret_expired', scope: 'app', steps: expect.any(Array) })
  })

  test.each([
    ['nothing', {}],
    ['another field', { reply: 'x', colour: 'red' }],
    ['a provider that does not exist', { reply: 'x', provider: 'yahoo' }],
    ['far too much', { reply: 'x'.repeat(50_001) }],
  ])('%s is a problem that names the field', async (_what, body) => {
    const answer = await post('/api/v1/classify', body)
    expect(answer.status).toBe(400)
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
    expect(answer.json).toMatchObject({ code: 'invalid_request', errors: [{ message: expect.any(String) }] })
  })

  test('is not for everybody', async () => {
    expect((await askAs(base, {})('POST', '/api/v1/classify', { reply: 'x' })).status).toBe(401)
  })
})

describe('figures and the calendar', () => {
  test('are in the formats that Prometheus and calendars read', async () => {
    const metrics = await (await fetch(new URL('/metrics', base))).text()
    expect(metrics).toMatch(/^# TYPE poststelle_accounts gauge$/m)
    expect(metrics).toMatch(/^poststelle_accounts\{direction="receive",state="\w+"\} 2$/m)
    const calendar = await fetch(new URL('/runway.ics?lang=de', base))
    expect(calendar.headers.get('content-type')).toContain('text/calendar')
    expect(await calendar.text()).toMatch(/^BEGIN:VCALENDAR\r\n[\s\S]*END:VCALENDAR\r\n$/)
  })

  test.each(['/metrics', '/runway.ics'])('%s is not for everybody', async (path) => {
    expect((await fetch(new URL(path, base), { headers: { 'x-forwarded-for': '192.0.2.1' } })).status).toBe(401)
  })
})

describe('the link for the owner of a mailbox', () => {
  beforeEach(async () => {
    await sql`delete from poststelle.sign_ins`.execute(world.house.db)
  })
  const link = async (): Promise<URL> => {
    const account = requireSignIn(await findAccount(world.house.db, EMAIL))
    const { secret } = await beginByLink(world.house, account, 3_600_000)
    return new URL(`/sign-in/${secret}`, base)
  }
  const signIn = async (at: URL, as = EMAIL): Promise<Response> => {
    const sent = await fetch(at, { method: 'POST', redirect: 'manual' })
    expect(sent.status).toBe(303)
    const back = await world.enter(new URL(sent.headers.get('location') ?? ''), as)
    return await fetch(new URL(`/oauth/callback${back.search}`, base), { headers: { 'accept-language': 'de' } })
  }

  test('says what is asked for, leads to the provider, and is good once', async () => {
    const at = await link()
    const asked = await fetch(at, { headers: { 'accept-language': 'de-DE,de;q=0.9' } })
    expect(await asked.text()).toContain(`Als ${EMAIL} anmelden`)
    expect(asked.headers.get('content-security-policy')).toContain("default-src 'none'")
    const done = await signIn(at)
    expect(done.status).toBe(200)
    expect(await done.text()).toContain(`${EMAIL} ist angemeldet`)
    const again = await fetch(at, { headers: { 'accept-language': 'en' } })
    expect(again.status).toBe(410)
    expect(await again.text()).toContain('This link is not valid any more')
  })

  test('somebody else does not get in by it', async () => {
    const done = await signIn(await link(), 'other@firma.example')
    expect(done.status).toBe(400)
    const page = await done.text()
    expect(page).toContain('[wrong_identity]')
    expect(page).not.toMatch(/access_token|code=/)
  })

  test.each(['/sign-in/guessed', `/sign-in/${'x'.repeat(43)}`])('%s is gone', async (path) => {
    expect((await fetch(new URL(path, base))).status).toBe(410)
    expect((await fetch(new URL(path, base), { method: 'POST' })).status).toBe(410)
  })

  test('an answer that nobody asked for is refused', async () => {
    const answer = await fetch(new URL('/oauth/callback?code=stolen&state=guessed', base))
    expect(answer.status).toBe(400)
    expect(await answer.text()).not.toContain('stolen')
  })
})
