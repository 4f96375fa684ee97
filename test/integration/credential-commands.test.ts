// The commands on app registrations, keys and what runs out, as an operator types them.

import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { programOn, type ProgramResult, type RunProgram } from '../support/program.ts'

const CLIENT = '11111111-2222-3333-4444-555555555555'
const TENANT = '6b29fc40-ca47-1067-b31d-00dd010662da'
const SECRET = 'Sandbox~Secret~canary'

let house: TestHouse
let program: RunProgram
beforeAll(async () => {
  house = await openHouse()
  program = programOn(house, { POSTSTELLE_URL: 'https://post.firma.example' })
  const oauth = (email: string, flow: string) =>
    passwordAccount(email, {
      smtp: { host: 'smtp.office365.com', port: 587, security: 'starttls' },
      auth: {
        type: 'oauth2',
        flow,
        token_endpoint: `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/token`,
        client_id: CLIENT,
        client_secret: SECRET,
        client_secret_expires_at: '2026-12-20',
        scope: 'https://outlook.office365.com/.default',
      },
    })
  await house.importAccounts([
    oauth('info@firma.example', 'client_credentials'),
    oauth('shop@firma.example', 'client_credentials'),
    oauth('person@firma.example', 'authorization_code'),
  ])
})
afterAll(() => house.close())

const run = async (words: string, input?: string): Promise<ProgramResult> =>
  await program(words.split(' '), input === undefined ? {} : { input })
const good = async (words: string, input?: string): Promise<string> => {
  const { code, out, err } = await run(words, input)
  expect([code, err]).toEqual([0, ''])
  expect(out).not.toContain(SECRET)
  return out
}

test('app registrations are listed with their accounts and until when their secrets last, never with the secrets', async () => {
  expect(await good('client list --lang de')).toMatch(/ID +APP-REGISTRIERUNG +KONTEN +NACHWEIS/)
  const [client] = JSON.parse(await good('client list --json')) as object[]
  expect(client).toMatchObject({
    client_id: CLIENT,
    accounts: 3,
    proof: 'secret',
    fingerprint: expect.stringMatching(/^[0-9a-f]{8}$/),
    secret_expires_at: '2026-12-20T00:00:00.000Z',
    refused: null,
  })
})

test('a registration has a name that people know it by, and is found by it', async () => {
  await good(`client label ${CLIENT} bm_mail`)
  expect(await good('client show bm_mail')).toContain(CLIENT)
  expect(await run('client show nobody')).toMatchObject({ code: 1, err: expect.stringMatching(/nobody/) })
})

test('when a secret ends can be told and taken back; what is no date is refused', async () => {
  await good('client expires bm_mail 2027-11-30')
  expect(JSON.parse(await good('client show bm_mail --json'))).toMatchObject({
    secret_expires_at: '2027-11-30T00:00:00.000Z',
  })
  expect(await run('client expires bm_mail 2027-13-45')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/is not a date/),
  })
  await good('client expires bm_mail unknown')
  expect(JSON.parse(await good('client show bm_mail --json'))).toMatchObject({ secret_expires_at: null })
})

test('a next secret waits until it is wanted, and can be forgotten', async () => {
  await good('client set-secret bm_mail --later --expires 2028-01-01', 'Sandbox~Secret~next\n')
  expect(JSON.parse(await good('client show bm_mail --json'))).toMatchObject({
    next: { proof: 'secret', state: 'waiting', expires_at: '2028-01-01T00:00:00.000Z' },
  })
  await good('client drop-next bm_mail')
  expect(await run('client drop-next bm_mail')).toMatchObject({
    code: 1,
    err: expect.stringMatching(/no secret waits/),
  })
  expect(await run('client set-secret bm_mail', '')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/the secret is empty/),
  })
  expect(await run('client set-secret bm_mail --certificate /nowhere.pem')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/belong together/),
  })
})

test('the Exchange commands name the mailboxes that the app itself signs in for', async () => {
  const script = await good('client powershell bm_mail')
  expect(script).toContain(`$appId = '${CLIENT}'`)
  expect(script).toContain("Set-CASMailbox -Identity 'info@firma.example'")
  expect(script).toContain("Set-CASMailbox -Identity 'shop@firma.example'")
  expect(script).not.toContain('person@')
})

test('what runs out is listed by the days that are left', async () => {
  await good('client expires bm_mail 2027-11-30')
  const german = await good('runway --lang de')
  expect(german).toMatch(/bm_mail/)
  const items = JSON.parse(await good('runway --json')) as { kind: string; subject: string }[]
  expect(items).toContainEqual(expect.objectContaining({ kind: 'client_secret' }))
})

test('keys are listed with what they seal', async () => {
  expect(JSON.parse(await good('key list --json'))).toMatchObject({
    coverage_percent: 100,
    keys: [{ id: 'test', seals: true }],
  })
  expect(await run('key rotate --new')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/the key ring is given by POSTSTELLE_KEYS/),
  })
})

test('a link for the owner of a mailbox is printed once, and kept only as a hash', async () => {
  const { url } = JSON.parse(await good('account sign-in person@firma.example --link --json')) as { url: string }
  expect(url).toMatch(/^https:\/\/post\.firma\.example\/sign-in\/[\w-]{43}$/)
  const secret = url.split('/').at(-1) ?? ''
  const { rows } = await sql<{ n: number }>`
    select count(*)::int as n from poststelle.sign_ins s where s::text like ${`%${secret}%`}`.execute(house.db)
  expect(rows).toEqual([{ n: 0 }])
  expect(await run('account sign-in info@firma.example')).toMatchObject({ code: 1 })
})

test('the whole catalogue can be printed, and any pasted reply is explained', async () => {
  expect(await good('classify --list --lang de')).toMatch(/^# /m)
  const told = JSON.parse(
    await good(
      'classify --json',
      '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.',
    ),
  ) as object
  expect(told).toMatchObject({ flag: 'smtp_auth_disabled_tenant' })
})
