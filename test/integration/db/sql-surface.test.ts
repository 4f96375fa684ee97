import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parkLane } from '../../../src/db/lanes.ts'
import { openHouse, passwordAccount, type TestHouse } from '../../support/house.ts'

const RAW =
  'From: a@example.test\r\nSubject: Hallo\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.test>\r\n\r\nText\r\n'

describe('the SQL surface for applications', () => {
  let house: TestHouse
  let accountId: number
  beforeAll(async () => {
    house = await openHouse()
    const imported = await house.importAccounts([
      passwordAccount('a@example.test', { default: true }),
      passwordAccount('r@example.test', { smtp: null }),
    ])
    accountId = imported[0]?.id ?? 0
  })
  afterAll(() => house.close())

  const submit = async (
    over: Partial<Record<'account' | 'from' | 'key' | 'raw', string | null>> & { to?: string[]; bytes?: Buffer } = {},
  ) => {
    const { account = 'a@example.test', from = 'a@example.test', key = null, raw = RAW, to = ['b@example.test'] } = over
    const bytes = over.bytes ?? Buffer.from(raw ?? '', 'latin1')
    const { rows } = await sql<{
      id: number
    }>`select poststelle.submit_message(${account}, ${from}, ${to}::text[], ${bytes}, ${key}) as id`.execute(house.db)
    return rows[0]?.id ?? 0
  }
  const stored = async (id: number) => {
    const rows = await house.db
      .selectFrom('outbound_bodies')
      .select('bytes')
      .where('message_id', '=', id)
      .orderBy('chunk')
      .execute()
    return Buffer.concat(rows.map((row) => row.bytes))
  }

  test("a message is taken over with the caller's transaction, or not at all", async () => {
    const client = new pg.Client(house.database.url)
    await client.connect()
    const count = async () =>
      (await sql<{ n: number }>`select count(*) as n from poststelle.outbox`.execute(house.db)).rows[0]?.n
    const before = await count()
    await client.query('begin')
    await client.query(
      `select poststelle.submit_message(account => 'a@example.test', envelope_from => 'a@example.test', recipients => '{b@example.test}', raw => $1)`,
      [Buffer.from(RAW)],
    )
    expect(await count()).toBe(before)
    await client.query('rollback')
    expect(await count()).toBe(before)
    await client.end()
  })

  test('complete canonical bytes are stored unchanged', async () => {
    expect((await stored(await submit())).toString('latin1')).toBe(RAW)
  })

  test('a missing Message-ID, Date and final line end are added, bare line ends become CRLF, 8-bit bytes stay', async () => {
    const text = (
      await stored(await submit({ bytes: Buffer.from('Subject: Gr\xfc\xdfe\nX: 1\n\nfirst\nsecond\rthird', 'latin1') }))
    ).toString('latin1')
    expect(text).toMatch(
      /^Date: \w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0000\r\nMessage-ID: <[^<>@]+@example\.test>\r\nSubject: Gr\xfc\xdfe\r\nX: 1\r\n\r\nfirst\r\nsecond\r\nthird\r\n$/,
    )
  })

  test.each([
    ['UTF-8', Buffer.from('Subject: Grüße\r\n\r\nx\r\n', 'utf8')],
    ['Latin-1', Buffer.from('Subject: Grüße\r\n\r\nx\r\n', 'latin1')],
  ])('an undeclared subject in %s is shown readably', async (_, bytes) => {
    const id = await submit({ bytes })
    const { rows } = await sql`select subject from poststelle.outbox where id = ${id}`.execute(house.db)
    expect(rows[0]).toEqual({ subject: 'Grüße' })
  })

  test('a large message is stored in chunks and comes back whole', async () => {
    const body = Buffer.from(`${RAW}${'0123456789abcdef'.repeat(60)}\r\n`.repeat(700))
    expect((await stored(await submit({ bytes: body }))).equals(body)).toBe(true)
  })

  test('the same key with the same message is accepted once, also by two transactions at once', async () => {
    const ids = await Promise.all([submit({ key: 'order-1' }), submit({ key: 'order-1' }), submit({ key: 'order-1' })])
    expect(new Set(ids).size).toBe(1)
    expect(await submit({ key: 'order-1' })).toBe(ids[0])
    expect(await submit({ key: 'order-2' })).not.toBe(ids[0])
  })

  test('the same key with another message, sender or recipient is refused', async () => {
    await submit({ key: 'order-3' })
    for (const over of [{ raw: `${RAW}x` }, { to: ['c@example.test'] }, { from: 'x@example.test' }]) {
      await expect(submit({ key: 'order-3', ...over })).rejects.toThrow(
        /idempotency_key: 'order-3' was used for another message/,
      )
    }
  })

  test.each([
    ['an unknown account', { account: 'nobody@example.test' }, /account: 'nobody@example.test' is not known/],
    ['an account that cannot send', { account: 'r@example.test' }, /account: 'r@example.test' has no SMTP server/],
    ['no recipient', { to: [] }, /recipients: at least one/],
    [
      'a recipient with a line break',
      { to: ['b@example.test\r\nRCPT TO:<x@y>'] },
      /recipients: .*not a plain e-mail address/,
    ],
    ['a recipient with angle brackets', { to: ['<b@example.test>'] }, /recipients: .*not a plain/],
    ['a sender with a blank', { from: 'a b@example.test' }, /envelope_from: .*not a plain/],
    ['an empty message', { raw: '' }, /raw: the message is empty/],
    ['a NUL in the message', { bytes: Buffer.from('Subject: x\r\n\r\na\0b') }, /raw: the message contains a NUL/],
    ['an over-long key', { key: 'k'.repeat(256) }, /idempotency_key: 1 to 255/],
  ])('%s is refused in one clear sentence', async (_, over, sentence) => {
    await expect(submit(over)).rejects.toThrow(sentence)
  })

  test('an account may be left out where there is a default, and the null sender is allowed', async () => {
    const id = await submit({ account: null, from: '' })
    const { rows } = await sql<{ account: string }>`select account from poststelle.outbox where id = ${id}`.execute(
      house.db,
    )
    expect(rows[0]?.account).toBe('a@example.test')
  })

  test('a message for later is scheduled', async () => {
    const { rows } = await sql<{
      id: number
    }>`select poststelle.submit_message('a@example.test', 'a@example.test', '{b@example.test}', ${Buffer.from(RAW)},
      send_after => now() + interval '1 hour', priority => 5) as id`.execute(house.db)
    const shown = await sql<{ state: string; soon: boolean; priority: number }>`
      select state, next_attempt_at <= now() as soon, priority from poststelle.outbox where id = ${rows[0]?.id}`.execute(
      house.db,
    )
    expect(shown.rows).toEqual([{ state: 'scheduled', soon: false, priority: 5 }])
  })

  test('mail of a parked lane is shown as held for its account, and waits', async () => {
    const id = await submit()
    await parkLane(house.db, { accountId, lane: 'send' }, new Date(Date.now() + 60_000))
    const held = await sql`select state, hold_reason from poststelle.outbox where id = ${id}`.execute(house.db)
    expect(held.rows).toEqual([{ state: 'held', hold_reason: 'account_blocked' }])
    await parkLane(house.db, { accountId, lane: 'send' }, null)
    const free = await sql`select state, hold_reason from poststelle.outbox where id = ${id}`.execute(house.db)
    expect(free.rows).toEqual([{ state: 'queued', hold_reason: null }])
  })

  test("a type of the caller's own does not run with our rights", async () => {
    const client = new pg.Client(house.database.url)
    await client.connect()
    await client.query('set role poststelle_app')
    await client.query(`create function pg_temp.evil(v pg_catalog.text) returns boolean language plpgsql as $$
      begin if current_user <> 'poststelle_app' then raise exception 'ran as %', current_user; end if; return true; end $$`)
    await client.query('create domain pg_temp.text as pg_catalog.text check (pg_temp.evil(value))')
    const submit = `select poststelle.submit_message('a@example.test', 'a@example.test', '{b@example.test}'::pg_catalog.text[], 'Subject: x')`
    await expect(client.query(submit)).resolves.toMatchObject({ rowCount: 1 })
    await client.end()
  })

  test('the application role can use the surface and nothing else', async () => {
    const client = new pg.Client(house.database.url)
    await client.connect()
    await client.query('set role poststelle_app')
    await client.query(
      `select poststelle.submit_message('a@example.test', 'a@example.test', '{b@example.test}', 'Subject: x')`,
    )
    for (const view of ['inbox', 'outbox', 'outbox_recipients', 'account_status'])
      await client.query(`select * from poststelle.${view}`)
    await client.query('select poststelle.raw_message(1)')
    for (const statement of [
      'select * from poststelle.grants',
      'select * from poststelle.accounts',
      'select * from poststelle.oauth_clients',
      'select bytes from poststelle.message_bodies',
      `insert into poststelle.outbound_messages (account_id) values (1)`,
      `update poststelle.outbox set state = 'sent'`,
      `select poststelle.account_id('a@example.test')`,
    ]) {
      await expect(client.query(statement), statement).rejects.toThrow(/permission denied|cannot update view/)
    }
    await client.end()
  })
})
