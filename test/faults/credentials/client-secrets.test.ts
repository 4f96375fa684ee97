// The next secret of an app registration: proven before it is used, taken back where it is refused, tried when the current one dies.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { HOUR_MS, later } from '../../../src/base/clock.ts'
import { proveNextSecret } from '../../../src/credentials/client-secret.ts'
import { sealClientProof } from '../../../src/credentials/sealed.ts'
import { findClient, storeNextSecret, type ClientDetails } from '../../../src/db/client-secrets.ts'
import { row } from '../../support/figures.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { CLIENT_ID, withTokens, type TokenLife } from '../../support/token-life.ts'

const AT_ONCE = { attempts: 1, waitMs: 0 }
const NEXT = 'Sandbox~Secret~Next'

const client = ({ house }: TokenLife): Promise<ClientDetails> => findClient(house.db, CLIENT_ID)

async function store(life: TokenLife, secret: string): Promise<number> {
  const { id } = await client(life)
  const sealed = sealClientProof(life.house.vault, id, { kind: 'secret', secret }, 'next_secret') ?? ''
  await storeNextSecret(life.house.db, id, { kind: 'secret', sealed, expiresAt: new Date('2028-11-26T00:00:00Z') })
  return id
}

/** The endpoint takes no other secret from here on. */
function change({ tokens, emails, grantOf }: TokenLife, clientSecret: string): void {
  for (const email of emails) tokens.setAccount({ ...grantOf(email), clientSecret })
}

row('B10b', 'a next secret that is good takes the place of the current one, with one request', { fast: true }, () =>
  withTokens({ clock: new ManualClock(), accounts: 5 }, async (life) => {
    const { house, tokens, refresh, emails, flags } = life
    for (const email of emails) await refresh(email)
    change(life, NEXT)
    const asked = tokens.requests.length
    expect(await proveNextSecret(house, await store(life, NEXT), AT_ONCE)).toEqual({ kind: 'promoted', accounts: 5 })
    expect(tokens.requests.length - asked).toBe(1)
    const now = await client(life)
    expect(now).toMatchObject({ next: null, secretExpiresAt: new Date('2028-11-26T00:00:00Z') })
    for (const email of emails) await refresh(email)
    expect(await flags()).toEqual([])
    return 'promoted with 1 request, 5 of 5 accounts go on'
  }),
)

row('B10c', 'a next secret that is refused changes nothing', { fast: true }, () =>
  withTokens({ clock: new ManualClock(), accounts: 3 }, async (life) => {
    const { house, refresh, emails, flags } = life
    for (const email of emails) await refresh(email)
    const before = await client(life)
    expect(await proveNextSecret(house, await store(life, 'mistyped'), AT_ONCE)).toMatchObject({ kind: 'refused' })
    const after = await client(life)
    expect(after.clientSecretSealed).toBe(before.clientSecretSealed)
    expect(after.next).toMatchObject({ state: 'refused' })
    expect(after.next?.evidence).toMatch(/7000215/)
    for (const email of emails) await refresh(email)
    expect(await flags()).toEqual([])
    return 'refused, 3 of 3 accounts go on with the current one'
  }),
)

row('B10d', 'a secret that expires while the next one waits is replaced by itself', { fast: true }, () => {
  const clock = new ManualClock()
  return withTokens({ clock, accounts: 20 }, async (life) => {
    const { emails, live, flags, tokens, house } = life
    await live(later(clock.now(), HOUR_MS / 2))
    await store(life, NEXT)
    change(life, NEXT)
    const changed = tokens.requests.length
    await live(later(clock.now(), 3 * HOUR_MS))
    expect(await flags()).toEqual([])
    const { rows } = await sql<{ n: number }>`
      select count(*)::int as n from poststelle.grants where access_expires_at > ${clock.now()}`.execute(house.db)
    expect(rows[0]?.n).toBe(emails.length)
    expect((await client(life)).next).toBeNull()
    return `20 of 20 accounts went on, ${tokens.requests.length - changed} requests in 3 h, flags 0`
  })
})
