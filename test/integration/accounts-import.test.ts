import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { importAccounts } from '../../src/accounts/import.ts'
import { parseAccounts } from '../../src/accounts/settings.ts'
import { openCredential, sealCredential } from '../../src/credentials/sealed.ts'
import { loadGrant, storeToken } from '../../src/db/grants.ts'
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

  test('no secret lies in the database in clear', async () => {
    const { rows } = await sql<{ all: string }>`
      select (select string_agg(g::text, ' ') from poststelle.grants g) || (select string_agg(c::text, ' ') from poststelle.oauth_clients c)
        || (select string_agg(a::text, ' ') from poststelle.accounts a) as all`.execute(house.db)
    expect(rows[0]?.all).not.toMatch(/canary|correct-horse|next-secret/)
  })
})
