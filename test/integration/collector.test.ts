import { rmSync } from 'node:fs'
import path from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Clock } from '../../src/base/clock.ts'
import { decideGuard } from '../../src/db/renumbering.ts'
import { pollMaildrop, type PollResult } from '../../src/retrieval/poll-maildrop.ts'
import { reconcile } from '../../src/retrieval/reconcile.ts'
import { findAccount } from '../../src/db/accounts.ts'
import { openHouse, type TestHouse } from '../support/house.ts'
import { sampleMessage, startMailWorld, type MailWorld } from '../support/mail-world.ts'

const DAY = 86_400_000

/** A message that says when it was written. */
function dated(to: string, number: number, at: Date): Buffer {
  const text = sampleMessage(to, number, 400).toString('latin1')
  return Buffer.from(text.replace(/^Date: .*$/m, `Date: ${at.toUTCString().replace('GMT', '+0000')}`), 'latin1')
}

describe('how a maildrop is collected, from a real Dovecot', () => {
  let world: MailWorld
  let house: TestHouse
  let next = 0
  const time: Clock & { ahead: number } = { ahead: 0, now: () => new Date(Date.now() + time.ahead) }
  beforeAll(async () => {
    world = await startMailWorld({ oauthAccounts: 0, passwordAccounts: 12 })
    house = await openHouse({ caPem: world.pki.ca, clock: time })
  })
  afterAll(async () => {
    await house.close()
    await world.stop()
  })

  /** A maildrop of its own for each test. */
  async function account(fields: object = {}): Promise<{ email: string; id: number; poll: () => Promise<PollResult> }> {
    const given = world.accounts[next]
    const email = world.emails[next] ?? ''
    next += 1
    const [imported] = await house.importAccounts([{ ...given, ...fields }])
    const id = imported?.id ?? 0
    return {
      email,
      id,
      poll: async () => await pollMaildrop(house, await house.lease(id, 'receive'), AbortSignal.timeout(60_000)),
    }
  }
  const change = (id: number, columns: string): Promise<unknown> =>
    sql`update poststelle.maildrops set ${sql.raw(columns)}, listed_at = null where account_id = ${id}`.execute(
      house.db,
    )
  const states = async (id: number): Promise<Record<string, number>> => {
    const { rows } = await sql<{ state: string; n: number }>`
      select state, count(*) as n from poststelle.maildrop_uidls where account_id = ${id} group by 1 order by 1`.execute(
      house.db,
    )
    return Object.fromEntries(rows.map(({ state, n }) => [state, n]))
  }
  const subjects = async (id: number): Promise<number> => {
    const { rows } = await sql<{
      n: number
    }>`select count(*) as n from poststelle.inbox where account_id = ${id}`.execute(house.db)
    return rows[0]?.n ?? 0
  }
  const openFlags = async (id: number): Promise<string[]> => {
    const { rows } = await sql<{ flag: string }>`
      select flag from poststelle.health_flags where account_id = ${id} and cleared_at is null order by flag`.execute(
      house.db,
    )
    return rows.map(({ flag }) => flag)
  }
  const state = async (id: number): Promise<string> => {
    const { rows } = await sql<{ receive_state: string }>`
      select receive_state from poststelle.account_status where id = ${id}`.execute(house.db)
    return rows[0]?.receive_state ?? ''
  }
  const dueIn = async (id: number): Promise<number> => {
    const { rows } = await sql<{ due_at: Date }>`
      select due_at from poststelle.lanes where account_id = ${id} and lane = 'receive'`.execute(house.db)
    return ((rows[0]?.due_at.getTime() ?? 0) - time.now().getTime()) / 1_000
  }

  test('from now on: what was there stays there, with a reason, and what comes is fetched', async () => {
    const { email, id, poll } = await account({ first_sync: 'from_now' })
    for (let i = 1; i <= 20; i++) world.dovecot.deliver(email, sampleMessage(email, i, 300))
    expect(await poll()).toMatchObject({ stored: 0, more: false })
    expect(await states(id)).toEqual({ skipped: 20 })
    world.dovecot.deliver(email, sampleMessage(email, 21, 300))
    expect(await poll()).toMatchObject({ stored: 1 })
    expect(await states(id)).toEqual({ skipped: 20, stored: 1 })
    const gaps = await sql`select 1 from poststelle.ledger_gaps where account_id = ${id}`.execute(house.db)
    expect(gaps.rows).toEqual([])
  })

  test('the last days: older messages by their Date stay on the server, those without one are fetched', async () => {
    const { email, id, poll } = await account({ first_sync: 'last_days', first_sync_days: 7, max_session_messages: 4 })
    for (let i = 1; i <= 6; i++) world.dovecot.deliver(email, dated(email, i, new Date(Date.now() - 30 * DAY)))
    for (let i = 7; i <= 9; i++) world.dovecot.deliver(email, dated(email, i, new Date(Date.now() - DAY)))
    world.dovecot.deliver(email, Buffer.from('Subject: no date\r\n\r\ntext\r\n'))
    let sessions = 0
    while ((await poll()).more) sessions += 1
    expect(sessions).toBeGreaterThan(0)
    expect(await states(id)).toEqual({ skipped: 6, stored: 4 })
    // from then on every message is new mail, whatever it says of its age
    world.dovecot.deliver(email, dated(email, 11, new Date(Date.now() - 30 * DAY)))
    expect(await poll()).toMatchObject({ stored: 1 })
  })

  test('a copy leaves the server only when the application has acknowledged it', async () => {
    const { email, id, poll } = await account({ delete_after_ack: true })
    for (let i = 1; i <= 3; i++) world.dovecot.deliver(email, sampleMessage(email, i, 300))
    expect(await poll()).toMatchObject({ stored: 3, deleted: 0 })
    expect(await poll()).toMatchObject({ deleted: 0 })
    await sql`select poststelle.ack_inbound((select min(id) from poststelle.inbox where account_id = ${id}))`.execute(
      house.db,
    )
    expect(await poll()).toMatchObject({ deleted: 1 })
    expect(world.dovecot.stored(email)).toHaveLength(2)
    expect(await poll()).toMatchObject({ deleted: 0 })
    expect(await states(id)).toEqual({ deleted: 1, stored: 2 })
  })

  test('a damaged copy keeps its original, and says so until it is whole', async () => {
    const { email, id, poll } = await account({ delete_after_days: 7 })
    for (let i = 1; i <= 3; i++) world.dovecot.deliver(email, sampleMessage(email, i, 300))
    await poll()
    await sql`update poststelle.message_bodies set bytes = 'rot' where message_id = (select max(id) from poststelle.messages where account_id = ${id})`.execute(
      house.db,
    )
    await sql`update poststelle.maildrop_uidls set stored_at = now() - interval '8 days' where account_id = ${id}`.execute(
      house.db,
    )
    expect(await poll()).toMatchObject({ deleted: 2 })
    expect(world.dovecot.stored(email)).toHaveLength(1)
    expect(await openFlags(id)).toEqual(['stored_copy_damaged'])
    expect(await state(id)).toBe('ok')
    const found = await reconcile(house, await findAccount(house.db, email), { verify: true })
    expect(found.damaged).toHaveLength(1)
    expect(found.onServer).toMatchObject({ stored: 1, new: 0 })
    expect(found.notOnServer).toEqual({ deleted: 2 })
  })

  test('a message larger than allowed leaves its headers here and itself on the server, until more is allowed', async () => {
    const { email, id, poll } = await account({ max_message_bytes: 65_536, delete_after_days: 0 })
    world.dovecot.deliver(email, sampleMessage(email, 1, 200_000))
    world.dovecot.deliver(email, sampleMessage(email, 2, 300))
    expect(await poll()).toMatchObject({ stored: 1, skipped: 1, deleted: 1 })
    expect(await openFlags(id)).toEqual(['message_oversize'])
    const shown = sql<{ complete: boolean; subject: string; raw: string }>`
      select complete, subject, convert_from(poststelle.raw_message(id), 'LATIN1') as raw from poststelle.inbox
      where account_id = ${id} and size_bytes <> 300 and subject like '%1 %' order by id`
    const [head] = (await shown.execute(house.db)).rows
    expect(head).toMatchObject({ complete: false, subject: `Nachricht 1 für ${email}` })
    expect(head?.raw.endsWith('\r\n\r\n')).toBe(true)
    expect(world.dovecot.stored(email)).toHaveLength(1)
    expect(await poll()).toMatchObject({ stored: 0, skipped: 0, deleted: 0 })
    await change(id, 'max_message_bytes = 1000000')
    expect(await poll()).toMatchObject({ stored: 1, deleted: 1 })
    expect((await shown.execute(house.db)).rows.map(({ complete }) => complete)).toEqual([true])
    expect(await subjects(id)).toBe(2)
    await poll()
    expect(await openFlags(id)).toEqual([])
  })

  test('the interval grows while nothing comes, within its bounds, and falls back when mail arrives', async () => {
    const { email, id, poll } = await account({ poll_interval_seconds: 60, poll_interval_max_seconds: 200 })
    const waits: number[] = []
    for (let i = 0; i < 5; i++) {
      await poll()
      waits.push(await dueIn(id))
    }
    for (const [i, seconds] of [90, 135, 200, 200, 200].entries()) {
      expect(waits[i]).toBeGreaterThan(seconds - 2)
      expect(waits[i]).toBeLessThan(seconds * 1.12)
    }
    world.dovecot.deliver(email, sampleMessage(email, 1, 300))
    await poll()
    expect(await dueIn(id)).toBeLessThan(70)
  })

  /** Dovecot numbers a Maildir anew when its list of UIDs is gone, as after a move to another server. */
  const renumber = (email: string): void => {
    const [any] = world.dovecot.stored(email)
    const folder = path.join(any?.path ?? '', '../..')
    for (const file of ['dovecot-uidlist', 'dovecot.index', 'dovecot.index.log', 'dovecot.index.cache'])
      rmSync(path.join(folder, file), { force: true })
    rmSync(path.join(folder, 'dovecot-uidvalidity'), { force: true })
  }

  test('a maildrop that was moved keeps what is stored, and fetches only what is new', async () => {
    const { email, id, poll } = await account()
    for (let i = 1; i <= 120; i++) world.dovecot.deliver(email, sampleMessage(email, i, 300 + i))
    expect(await poll()).toMatchObject({ stored: 120 })
    const before = await sql<{
      uidl: string
    }>`select uidl from poststelle.maildrop_uidls where account_id = ${id}`.execute(house.db)
    renumber(email)
    for (let i = 121; i <= 124; i++) world.dovecot.deliver(email, dated(email, i, new Date()))
    expect(await poll()).toMatchObject({ stored: 4 })
    const after = await sql<{
      uidl: string
    }>`select uidl from poststelle.maildrop_uidls where account_id = ${id}`.execute(house.db)
    const known = new Set(before.rows.map(({ uidl }) => uidl))
    expect(after.rows.filter(({ uidl }) => known.has(uidl))).toEqual([])
    expect(await states(id)).toEqual({ stored: 124 })
    expect(await subjects(id)).toBe(124)
    expect(await openFlags(id)).toEqual([])
    expect(await poll()).toMatchObject({ stored: 0 })
  })

  test('a maildrop full of strange old mail is not touched until somebody decides', async () => {
    const { email, id, poll } = await account()
    for (let i = 1; i <= 60; i++) world.dovecot.deliver(email, sampleMessage(email, i, 300))
    await poll()
    for (const { path: file } of world.dovecot.stored(email)) rmSync(file)
    for (let i = 61; i <= 160; i++) world.dovecot.deliver(email, dated(email, i, new Date(Date.now() - 90 * DAY)))
    const stopped = await poll()
    expect(stopped.failure?.flag).toBe('uidl_reset')
    expect(await state(id)).toBe('blocked')
    expect(stopped.failure?.evidence).toMatch(
      /100 of 100 messages .* 60 known ones have gone; of 100 compared .* 0 are stored/,
    )
    expect((await poll()).failure?.flag).toBe('uidl_reset')
    expect(await subjects(id)).toBe(60)
    expect(await decideGuard(house.db, id, 'reimport')).toBe(true)
    expect(await poll()).toMatchObject({ stored: 100 })
    expect(await state(id)).toBe('ok')
    expect(await decideGuard(house.db, id, 'adopt')).toBe(false)
    const row = await sql<{
      guard: string | null
    }>`select guard from poststelle.maildrops where account_id = ${id}`.execute(house.db)
    expect(row.rows).toEqual([{ guard: null }])
  })

  test('what vanishes before it was retrieved is a gap; what another client deletes after that is not', async () => {
    const { email, id, poll } = await account({ max_session_messages: 2 })
    for (let i = 1; i <= 5; i++) world.dovecot.deliver(email, sampleMessage(email, i, 300))
    expect(await poll()).toMatchObject({ stored: 2, more: true })
    expect(await states(id)).toEqual({ listed: 3, stored: 2 })
    const files = world.dovecot.stored(email)
    for (const { path: file } of [files[0], files[4]].filter((one) => one !== undefined)) rmSync(file)
    while ((await poll()).more);
    expect(await states(id)).toEqual({ stored: 4, vanished: 1 })
    const { rows } = await sql`select gap, reason from poststelle.ledger_gaps where account_id = ${id}`.execute(
      house.db,
    )
    expect(rows).toEqual([
      { gap: 'vanished', reason: 'it left the server before it could be retrieved, and it was not we who deleted it' },
    ])
    const found = await reconcile(house, await findAccount(house.db, email), { verify: true })
    expect(found).toMatchObject({
      server: { messages: 3, withoutUidl: 0 },
      onServer: { stored: 3, new: 0 },
      notOnServer: { stored: 1, vanished: 1 },
      damaged: [],
    })
    expect(found.gaps).toHaveLength(1)
  })
})
