import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pollMaildrop, type PollResult } from '../../src/retrieval/poll-maildrop.ts'
import { openHouse, type TestHouse } from '../support/house.ts'
import { sampleMessage, startMailWorld, type MailWorld } from '../support/mail-world.ts'

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

describe('receiving from a real Dovecot', () => {
  let world: MailWorld
  let house: TestHouse
  const ids = new Map<string, number>()
  beforeAll(async () => {
    world = await startMailWorld({ oauthAccounts: 2, passwordAccounts: 2 })
    house = await openHouse({ caPem: world.pki.ca })
    for (const { email, id } of await house.importAccounts([...world.accounts])) ids.set(email, id)
  })
  afterAll(async () => {
    await house.close()
    await world.stop()
  })

  const poll = async (email: string): Promise<PollResult> =>
    await pollMaildrop(house, await house.lease(ids.get(email) ?? 0, 'receive'), AbortSignal.timeout(60_000))
  const stored = async (email: string) =>
    (
      await sql<{
        sha: string
        raw: string
      }>`select sha256 as sha, encode(sha256(poststelle.raw_message(id)), 'hex') as raw from poststelle.inbox
      where account = ${email} order by id`.execute(house.db)
    ).rows

  test.each(['oauth1@example.test', 'plain1@example.test'])(
    '%s: every message is stored once, byte for byte, and the next poll brings only what is new',
    async (email) => {
      for (let i = 1; i <= 30; i++) world.dovecot.deliver(email, sampleMessage(email, i, 200 * i))
      expect(await poll(email)).toMatchObject({ stored: 30, skipped: 0, deleted: 0 })
      const onServer = world.dovecot.stored(email).map((message) => message.sha256)
      expect((await stored(email)).map(({ sha }) => sha)).toEqual(onServer)
      expect((await stored(email)).map(({ raw }) => raw)).toEqual(onServer)
      expect(await poll(email)).toMatchObject({ stored: 0 })
      world.dovecot.deliver(email, sampleMessage(email, 31, 500))
      expect(await poll(email)).toMatchObject({ stored: 1 })
      expect(await stored(email)).toHaveLength(31)
    },
  )

  test('a message larger than memory should hold is stored in pieces and comes back whole', async () => {
    const email = 'oauth2@example.test'
    const big = sampleMessage(email, 1, 9_000_000)
    world.dovecot.deliver(email, big)
    world.dovecot.deliver(email, sampleMessage(email, 2, 300))
    expect(await poll(email)).toMatchObject({ stored: 2 })
    expect((await stored(email))[0]).toEqual({ sha: sha256(big), raw: sha256(big) })
    const spools = await sql<{ n: number }>`select count(*) as n from poststelle.message_spools`.execute(house.db)
    expect(spools.rows[0]?.n).toBe(0)
    const chunks = await sql<{
      n: number
    }>`select count(*) as n from poststelle.message_bodies where length(bytes) > 262144`.execute(house.db)
    expect(chunks.rows[0]?.n).toBe(0)
  })

  test('the summary is readable: encoded words decoded, addresses apart', async () => {
    const { rows } =
      await sql`select subject, from_address, from_name, to_addresses, date_at from poststelle.inbox where account = 'plain1@example.test' order by id limit 1`.execute(
        house.db,
      )
    expect(rows[0]).toEqual({
      subject: 'Nachricht 1 für plain1@example.test',
      from_address: 'absender@example.test',
      from_name: 'Absender',
      to_addresses: 'plain1@example.test',
      date_at: new Date('2026-11-23T10:00:00Z'),
    })
  })

  test('an unchanged maildrop is not listed again; one message in the place of another is noticed', async () => {
    const email = 'plain1@example.test'
    const poll1 = await poll(email)
    const row = () =>
      house.db
        .selectFrom('maildrops')
        .selectAll()
        .where('account_id', '=', ids.get(email) ?? 0)
        .executeTakeFirstOrThrow()
    const before = await row()
    expect(poll1.stored).toBe(0)
    expect(before.listed_count).toBe(31)
    await poll(email)
    expect((await row()).listed_at).toEqual(before.listed_at)
    const files = world.dovecot.stored(email)
    const last = files.at(-1)
    if (!last) throw new Error('no message')
    const twin = sampleMessage(email, 31, 500)
    rmSync(last.path)
    world.dovecot.deliver(email, twin)
    expect(twin.length).toBe(last.sizeBytes)
    expect(await poll(email)).toMatchObject({ stored: 1 })
    expect((await row()).listed_at).not.toEqual(before.listed_at)
    await sql`update poststelle.maildrops set listed_at = now() - interval '61 minutes' where account_id = ${ids.get(email)}`.execute(
      house.db,
    )
    await poll(email)
    expect(Date.now() - ((await row()).listed_at?.getTime() ?? 0)).toBeLessThan(60_000)
  })

  test('a deletion policy removes from the server what is stored, and only then', async () => {
    const email = 'plain2@example.test'
    for (let i = 1; i <= 5; i++) world.dovecot.deliver(email, sampleMessage(email, i, 400))
    await poll(email)
    expect(world.dovecot.stored(email)).toHaveLength(5)
    await sql`update poststelle.maildrops set delete_after_days = 7 where account_id = ${ids.get(email)}`.execute(
      house.db,
    )
    expect(await poll(email)).toMatchObject({ deleted: 0 })
    await sql`update poststelle.maildrop_uidls set stored_at = now() - interval '8 days' where account_id = ${ids.get(email)} and ordinal = 1
      and uidl in (select uidl from poststelle.maildrop_uidls where account_id = ${ids.get(email)} order by message_id limit 2)`.execute(
      house.db,
    )
    expect(await poll(email)).toMatchObject({ stored: 0, deleted: 2 })
    expect(world.dovecot.stored(email)).toHaveLength(3)
    await sql`update poststelle.maildrops set delete_after_days = 0 where account_id = ${ids.get(email)}`.execute(
      house.db,
    )
    world.dovecot.deliver(email, sampleMessage(email, 6, 400))
    expect(await poll(email)).toMatchObject({ stored: 1, deleted: 4 })
    expect(world.dovecot.stored(email)).toHaveLength(0)
    const states =
      await sql`select state, count(*) as n from poststelle.maildrop_uidls where account_id = ${ids.get(email)} group by 1`.execute(
        house.db,
      )
    expect(states.rows).toEqual([{ state: 'deleted', n: 6 }])
    expect(await stored(email)).toHaveLength(6)
  })

  test('a message that was deleted and is listed again is not stored twice; another one under its UIDL is', async () => {
    const email = 'plain2@example.test'
    const again = sampleMessage(email, 7, 400)
    const id = ids.get(email) ?? 0
    await sql`update poststelle.maildrops set delete_after_days = null, listed_at = null where account_id = ${id}`.execute(
      house.db,
    )
    world.dovecot.deliver(email, again)
    world.dovecot.deliver(email, sampleMessage(email, 8, 400))
    expect(await poll(email)).toMatchObject({ stored: 2 })
    const before = (await stored(email)).length
    const markDeleted = sql`update poststelle.maildrop_uidls set state = 'deleted', deleted_at = now() where account_id = ${id} and state = 'stored'`
    await markDeleted.execute(house.db)
    await sql`update poststelle.maildrop_uidls set sha256 = 'x' where account_id = ${id} and sha256 <> ${Buffer.from(sha256(again), 'hex')}`.execute(
      house.db,
    )
    await sql`update poststelle.maildrops set listed_at = null where account_id = ${id}`.execute(house.db)
    expect((await poll(email)).failure).toBeUndefined()
    expect(await stored(email)).toHaveLength(before + 1)
    expect(await poll(email)).toMatchObject({ stored: 0 })
  })

  test('a token that the server no longer takes is renewed once, without a flag', async () => {
    const email = 'oauth1@example.test'
    world.tokens.revoke(email)
    const before = world.tokens.requests.length
    const result = await poll(email)
    const { rows } = await sql<{
      n: number
    }>`select count(*) as n from poststelle.health_flags where account_id = ${ids.get(email)} and cleared_at is null`.execute(
      house.db,
    )
    expect(result.failure).toBeUndefined()
    expect(rows[0]?.n).toBe(0)
    expect(world.tokens.requests.length).toBeGreaterThan(before)
  })

  test('a wrong password is flagged, parks the lane, and leaves everybody else alone', async () => {
    const [{ id } = { id: 0 }] = await house.importAccounts([
      { ...world.accounts[2], auth: { type: 'password', password: 'wrong' } },
    ])
    const result = await poll('plain1@example.test')
    expect(result.failure?.step).toBe('auth')
    const { rows } =
      await sql`select receive_state, jsonb_array_length(flags) as flags from poststelle.account_status where id = ${id}`.execute(
        house.db,
      )
    expect(rows[0]).toMatchObject({ flags: 1 })
    const lane = await house.db
      .selectFrom('lanes')
      .selectAll()
      .where('account_id', '=', id)
      .where('lane', '=', 'receive')
      .executeTakeFirstOrThrow()
    expect(lane.parked_until?.getTime()).toBeGreaterThan(Date.now())
    expect(lane.lease_token).toBeNull()
    expect((await poll('oauth2@example.test')).failure).toBeUndefined()
  })
})
