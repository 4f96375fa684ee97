import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { importAccounts } from '../../src/accounts/import.ts'
import { parseAccounts } from '../../src/accounts/settings.ts'
import { openCredential, sealCredential } from '../../src/credentials/sealed.ts'
import { loadGrant, storeToken } from '../../src/db/grants.ts'
import { flagLanes } from '../support/health-rows.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'

const oauthAccount = (email: string, over: object = {}): object =>
  passwordAccount(email, {
    auth: {
      type: 'oauth2',
      flow: 'refresh_token',
      token_endpoint: 'https://login.microsoftonline.com/contoso/oauth2/v2.0/token',
      client_id: '11111111-2222-3333-4444-555555555555',
      client_secret: 'canary-secret',
      scope: 'https://outlook.office365.com/.default offline_access',
      refresh_token: 'canary-refresh',
      ...over,
    },
  })

describe('importing accounts', () => {
  let house: TestHouse
  beforeAll(async () => {
    house = await openHouse()
  })
  afterAll(() => house.close())

  test('the same file twice creates once and then changes nothing', async () => {
    const file = [passwordAccount('a@example.test', { label: 'A' }), oauthAccount('o@example.test')]
    expect((await house.importAccounts(file)).map(({ change }) => change)).toEqual(['created', 'created'])
    expect((await house.importAccounts(file)).map(({ change }) => change)).toEqual(['unchanged', 'unchanged'])
    expect((await house.importAccounts([passwordAccount('A@Example.test', { label: 'B' })]))[0]).toMatchObject({
      change: 'changed',
    })
    const { rows } =
      await sql`select email, label from poststelle.accounts where lower(email) = 'a@example.test'`.execute(house.db)
    expect(rows).toEqual([{ email: 'A@Example.test', label: 'B' }])
  })

  test('a dry run says what would change and changes nothing', async () => {
    const accounts = parseAccounts(JSON.stringify(passwordAccount('dry@example.test')), 'test', () => undefined)
    const imported = await importAccounts(house, accounts, { dryRun: true })
    expect(imported.map(({ change }) => change)).toEqual(['created'])
    const { rows } = await sql`select from poststelle.accounts where email = 'dry@example.test'`.execute(house.db)
    expect(rows).toHaveLength(0)
  })

  test('importing the same refresh token again keeps the one it was rotated to', async () => {
    const [{ id } = { id: 0 }] = await house.importAccounts([oauthAccount('rot@example.test')])
    const grant = await loadGrant(house.db, id)
    if (!grant) throw new Error('no grant')
    const rotated = { given: { refreshToken: 'canary-refresh' }, current: { refreshToken: 'rotated' } }
    await house.db.transaction().execute((tx) =>
      storeToken(tx, grant, {
        credentialSealed: sealCredential(house.vault, id, rotated),
        accessTokenSealed: 'x',
        accessExpiresAt: new Date(),
        refreshedAt: new Date(),
      }),
    )
    await house.importAccounts([oauthAccount('rot@example.test')])
    const kept = await loadGrant(house.db, id)
    expect(kept && openCredential(house.vault, kept).current).toEqual({ refreshToken: 'rotated' })
    await house.importAccounts([oauthAccount('rot@example.test', { refresh_token: 'fresh' })])
    const replaced = await loadGrant(house.db, id)
    expect(replaced && openCredential(house.vault, replaced).current).toEqual({ refreshToken: 'fresh' })
  })

  test('at another token endpoint the credential begins anew: what was rotated elsewhere is worth nothing there', async () => {
    const [{ id } = { id: 0 }] = await house.importAccounts([oauthAccount('moved@example.test')])
    const grant = await loadGrant(house.db, id)
    if (!grant) throw new Error('no grant')
    const rotated = { given: { refreshToken: 'canary-refresh' }, current: { refreshToken: 'rotated' } }
    const sealed = {
      credentialSealed: sealCredential(house.vault, id, rotated),
      accessTokenSealed: 'x',
      accessExpiresAt: new Date(),
      refreshedAt: new Date(),
    }
    await house.db.transaction().execute((tx) => storeToken(tx, grant, sealed))
    const elsewhere = 'https://login.microsoftonline.com/fabrikam/oauth2/v2.0/token'
    const [imported] = await house.importAccounts([oauthAccount('moved@example.test', { token_endpoint: elsewhere })])
    expect(imported?.change).toBe('changed')
    const moved = await loadGrant(house.db, id)
    expect(moved && openCredential(house.vault, moved).current).toEqual({ refreshToken: 'canary-refresh' })
    expect(moved?.accessTokenSealed).toBeNull()
  })

  test('an app registration is shared; its new secret is stored once and said to concern all', async () => {
    await house.importAccounts([oauthAccount('s1@example.test'), oauthAccount('s2@example.test')])
    const [imported] = await house.importAccounts([oauthAccount('s1@example.test', { client_secret: 'next-secret' })])
    expect(imported?.notes.join()).toMatch(/shared by \d+ accounts of this app registration/)
    const { rows } = await sql<{
      n: number
    }>`select count(*) as n from poststelle.oauth_clients where token_endpoint like '%/contoso/%'`.execute(house.db)
    expect(rows).toEqual([{ n: 1 }])
  })

  test('limits of an app registration hold for all its accounts, stay where none are given, and wake those that rest', async () => {
    const client = { client_id: '99999999-2222-3333-4444-555555555555' }
    const limits = { licences: 25, messages_per_minute: 'unlimited' }
    await house.importAccounts([oauthAccount('l1@example.test', client), oauthAccount('l2@example.test', client)])
    const stored = async () => {
      const { rows } = await sql`select licences, recipients_per_day, messages_per_minute from poststelle.oauth_clients
        where client_id = ${client.client_id}`.execute(house.db)
      return rows
    }
    await sql`update poststelle.lanes set rests_until = now() + interval '1 hour', rests_for = 'day' where lane = 'send'`.execute(
      house.db,
    )
    const [changed] = await house.importAccounts([oauthAccount('l1@example.test', { ...client, limits })])
    expect(changed?.notes).toEqual([
      'auth.limits: are shared by 2 accounts of this app registration; they were changed for all of them',
    ])
    const { rows: awake } = await sql`select from poststelle.lanes where lane = 'send' and rests_until is null`.execute(
      house.db,
    )
    expect(awake).toHaveLength(2)
    await house.importAccounts([oauthAccount('l2@example.test', client)])
    expect(await stored()).toEqual([{ licences: 25, recipients_per_day: null, messages_per_minute: 0 }])
  })

  test('limits of an account and its policy are stored; a file that gives none goes back to the preset, and keeps the policy', async () => {
    const email = 'sending@example.test'
    const sending = { connections: 2, messages_per_minute: 'unlimited', recipients_per_day: 500 }
    const stored = async () => {
      const { rows } =
        await sql`select max_connections, messages_per_minute, recipients_per_day, recipients_per_message,
        uncertain_policy from poststelle.accounts where email = ${email}`.execute(house.db)
      return rows[0]
    }
    const none = { messages_per_minute: null, recipients_per_day: null, recipients_per_message: null }
    await house.importAccounts([passwordAccount(email)])
    expect(await stored()).toEqual({ max_connections: null, ...none, uncertain_policy: 'retry_once' })
    const [imported] = await house.importAccounts([passwordAccount(email, { sending, uncertain_policy: 'hold' })])
    expect(imported?.change).toBe('changed')
    expect(await stored()).toEqual({
      max_connections: 2,
      messages_per_minute: 0,
      recipients_per_day: 500,
      recipients_per_message: null,
      uncertain_policy: 'hold',
    })
    await house.importAccounts([passwordAccount(email)])
    expect(await stored()).toEqual({ max_connections: null, ...none, uncertain_policy: 'hold' })
  })

  test('another POP3 server is tried at once; what the change cannot mend stays parked', async () => {
    const email = 'parked@example.test'
    const [created] = await house.importAccounts([passwordAccount(email)])
    const lanes = async (): Promise<unknown[]> =>
      (
        await sql`select lane, parked_until is null as awake, due_at <= now() as due from poststelle.lanes
          where account_id = ${created?.id} and lane in ('receive', 'send') order by lane`.execute(house.db)
      ).rows
    await sql`update poststelle.lanes set parked_until = now() + interval '4 hours', due_at = now() + interval '4 hours'
      where account_id = ${created?.id}`.execute(house.db)
    const asleep = { awake: false, due: false }
    const moved = passwordAccount(email, { pop3: { host: 'localhost', port: 1995, security: 'tls' } })
    await house.importAccounts([passwordAccount(email, { label: 'only a name' })])
    expect(await lanes()).toEqual([
      { lane: 'receive', ...asleep },
      { lane: 'send', ...asleep },
    ])
    await house.importAccounts([moved])
    expect(await lanes()).toEqual([
      { lane: 'receive', awake: true, due: true },
      { lane: 'send', ...asleep },
    ])
  })

  test('who goes over to a password has no trouble with tokens any more', async () => {
    const email = 'over@example.test'
    const [created] = await house.importAccounts([
      oauthAccount(email, { client_id: '99999999-2222-3333-4444-555555555555' }),
    ])
    await flagLanes(house.db, [created?.id ?? 0], 'send', {
      flag: 'refresh_token_expired',
      scope: 'account',
      stage: 'token',
    })
    await house.importAccounts([passwordAccount(email)])
    const { rows } =
      await sql`select 1 from poststelle.health_flags where account_id = ${created?.id} and cleared_at is null`.execute(
        house.db,
      )
    expect(rows).toEqual([])
  })

  test('no secret lies in the database in clear', async () => {
    const { rows } = await sql<{ all: string }>`
      select (select string_agg(g::text, ' ') from poststelle.grants g) || (select string_agg(c::text, ' ') from poststelle.oauth_clients c)
        || (select string_agg(a::text, ' ') from poststelle.accounts a) as all`.execute(house.db)
    expect(rows[0]?.all).not.toMatch(/canary|correct-horse|next-secret/)
  })
})
