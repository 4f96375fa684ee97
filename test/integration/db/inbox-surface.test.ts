// The feed of received mail, as a business application uses it: over SQL, by a login that has the role poststelle_app and
// nothing else.

import { randomBytes, randomInt } from 'node:crypto'
import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { openHouse, passwordAccount, type TestHouse } from '../../support/house.ts'
import { insertAttachment, insertMessage, POSITION_LOCK, settle, settleContents } from '../../support/inbox-rows.ts'

const VIEWS = [
  'account_status',
  'inbox',
  'inbox_attachments',
  'inbox_delivery_reports',
  'incident_status',
  'ledger_gaps',
  'outbox',
  'outbox_attempts',
  'outbox_events',
  'outbox_recipients',
]
const FUNCTIONS = [
  'ack_inbound',
  'attachment',
  'cancel_message',
  'inbox_since',
  'message_eta',
  'outbox_since',
  'raw_message',
  'send_paused_until',
  'send_rate',
  'submit_message',
  'submit_parts',
]

describe('received mail for an application', () => {
  let house: TestHouse
  let accountId = 0
  const login = `app_${randomBytes(6).toString('hex')}`
  let app: pg.Client
  const opened: pg.Client[] = []

  beforeAll(async () => {
    house = await openHouse()
    const [account] = await house.importAccounts([passwordAccount('a@example.test')])
    accountId = account?.id ?? 0
    await sql`create role ${sql.id(login)} login in role poststelle_app`.execute(house.db)
    app = await connect()
  })
  afterAll(async () => {
    for (const client of opened) await client.end()
    await sql`drop role ${sql.id(login)}`.execute(house.db)
    await house.close()
  })

  /** As the application logs in. */
  async function connect(): Promise<pg.Client> {
    const url = new URL(house.database.url)
    url.username = login
    const client = new pg.Client(url.href)
    await client.connect()
    opened.push(client)
    return client
  }

  async function owner(): Promise<pg.Client> {
    const client = new pg.Client(house.database.url)
    await client.connect()
    opened.push(client)
    return client
  }

  const since = async (
    cursor: number | string | null,
    rows?: number | null,
  ): Promise<{ position: number; id: number }[]> => {
    const result =
      rows === undefined
        ? await app.query('select position, id from poststelle.inbox_since($1)', [cursor])
        : await app.query('select position, id from poststelle.inbox_since($1, $2)', [cursor, rows])
    return result.rows.map((row: { position: string; id: string }) => ({
      position: Number(row.position),
      id: Number(row.id),
    }))
  }
  const lastPosition = async (): Promise<number> => {
    const { rows } = await app.query<{ last: string }>(
      'select coalesce(max(position), 0) as last from poststelle.inbox',
    )
    return Number(rows[0]?.last)
  }
  const waiting = async (count: number): Promise<number[]> => {
    const ids: number[] = []
    for (let i = 0; i < count; i++) ids.push(await insertMessage(house.db, { accountId }))
    return ids
  }

  describe('inbox_since', () => {
    test('shows neither of two transactions that settle at once before the one with the lower position', async () => {
      const start = await lastPosition()
      const [first = 0, second = 0] = await waiting(2)
      const [one, two] = [await owner(), await owner()]
      await one.query('begin')
      await two.query('begin')
      const low = await settleContents(one, first)
      const settled = settleContents(two, second)
      await vi.waitUntil(async () => {
        const { rows } = await sql<{ n: number }>`select count(*) as n from pg_locks
          where locktype = 'advisory' and classid = ${POSITION_LOCK[0]} and objid = ${POSITION_LOCK[1]} and not granted`.execute(
          house.db,
        )
        return rows[0]?.n === 1
      })
      expect(await since(start)).toEqual([])
      await one.query('commit')
      const high = await settled
      expect(await since(start)).toEqual([{ position: low, id: first }])
      await two.query('commit')
      expect(await since(low)).toEqual([{ position: high, id: second }])
      expect(high).toBeGreaterThan(low)
    })

    test('misses nothing and repeats nothing, however many settle, roll back and read at once', async () => {
      const start = await lastPosition()
      const committed = new Set<number>()
      const write = async (): Promise<void> => {
        const client = await owner()
        for (let round = 0; round < 25; round++) {
          const ids = await waiting(randomInt(1, 4))
          await client.query('begin')
          for (const id of ids) await settleContents(client, id)
          for (let i = randomInt(0, 4); i > 0; i--) await client.query('select count(*) from poststelle.messages')
          const fails = randomInt(0, 5) === 0
          await client.query(fails ? 'rollback' : 'commit')
          if (!fails) for (const id of ids) committed.add(id)
        }
      }
      let writing = true
      const writers = Promise.all(Array.from({ length: 8 }, write)).finally(() => (writing = false))
      const seen: number[] = []
      let cursor = start
      for (let last = false; !last;) {
        last = !writing // what is committed by now must be in the next answer
        const limit = last ? 10_000 : randomInt(1, 20)
        for (const { position, id } of await since(cursor, limit)) {
          expect(position).toBeGreaterThan(cursor)
          cursor = position
          seen.push(id)
        }
      }
      await writers
      expect(new Set(seen)).toEqual(committed)
      expect(seen.length).toBe(committed.size)
    })

    test('takes any cursor and any limit', async () => {
      await waiting(1) // not parsed yet: not in the feed
      const all = await since(0, 10_000)
      expect(all.length).toBeGreaterThan(100)
      for (const cursor of [null, -1, '-9223372036854775808']) expect(await since(cursor, 10_000)).toEqual(all)
      for (const cursor of [all.at(-1)?.position ?? 0, '9223372036854775807']) expect(await since(cursor)).toEqual([])
      for (const limit of [undefined, null, 100]) expect(await since(0, limit)).toEqual(all.slice(0, 100))
      for (const limit of [0, -1, -2_147_483_648]) expect(await since(0, limit)).toEqual([])
      expect(await since(0, 2_147_483_647)).toEqual(all)
      await expect(since('9223372036854775808')).rejects.toThrow(/out of range/)
    })

    test('gives no more than 10,000 rows at once', async () => {
      const start = await lastPosition()
      await sql`with m as (insert into poststelle.messages (account_id, size_bytes, sha256)
          select ${accountId}, 1, '\\x00' from generate_series(1, 10001) returning id)
        insert into poststelle.message_contents (message_id, account_id, position, state)
          select id, ${accountId}, nextval('poststelle.inbox_position'), 'parsed' from m`.execute(house.db)
      const page = await since(start, 1_000_000)
      expect(page).toHaveLength(10_000)
      expect(await since(page.at(-1)?.position ?? 0)).toHaveLength(1)
      await sql`delete from poststelle.messages where sha256 = '\\x00'`.execute(house.db)
    })

    test('shows a message that was parsed again once more, behind the others', async () => {
      const [id = 0] = await waiting(1)
      const before = await settle(house.database.pool, id, { quarantined: 'too deep', text: null })
      const { rows } = await app.query('select parse_state, parse_reason, body_text from poststelle.inbox_since($1)', [
        before - 1,
      ])
      expect(rows).toEqual([{ parse_state: 'quarantined', parse_reason: 'too deep', body_text: null }])
      await house.db.deleteFrom('message_contents').where('message_id', '=', id).execute()
      expect(await since(before - 1)).toEqual([])
      const after = await settle(house.database.pool, id)
      expect(await since(before)).toEqual([{ position: after, id }])
    })
  })

  test('the bell poststelle_inbox carries the id of a message, at the commit and not before', async () => {
    const [first = 0, second = 0] = await waiting(2)
    const heard: string[] = []
    const listener = await connect()
    listener.on('notification', ({ payload }) => heard.push(payload ?? ''))
    await listener.query('listen poststelle_inbox')
    const client = await owner()
    await client.query('begin')
    await settleContents(client, first)
    await client.query('rollback')
    await client.query('begin')
    await settleContents(client, second)
    await listener.query('select 1')
    expect(heard).toEqual([])
    await client.query('commit')
    await vi.waitUntil(() => heard.length > 0)
    expect(heard).toEqual([String(second)])
    const { rowCount } = await app.query('select from poststelle.inbox where id = $1', [heard[0]])
    expect(rowCount).toBe(1)
  })

  describe('ack_inbound', () => {
    const ack = async (client: pg.Client, id: number | null): Promise<boolean | undefined> =>
      (await client.query<{ ack: boolean }>('select poststelle.ack_inbound($1) as ack', [id])).rows[0]?.ack

    test('is true the first time only, and refuses what is not there', async () => {
      const [id = 0] = await waiting(1)
      expect(await ack(app, id)).toBe(true)
      expect(await ack(app, id)).toBe(false)
      const { rows } = await app.query(
        'select acknowledged_at is not null as done from poststelle.inbox where id = $1',
        [id],
      )
      expect(rows).toEqual([{ done: true }])
      for (const unknown of [999_999, -1, null])
        await expect(ack(app, unknown)).rejects.toMatchObject({
          code: 'P0002',
          message: `id: there is no message ${unknown}`,
        })
    })

    test("belongs to the application's transaction", async () => {
      const [id = 0] = await waiting(1)
      await app.query('begin')
      expect(await ack(app, id)).toBe(true)
      await app.query('rollback')
      const other = await connect()
      await app.query('begin')
      expect(await ack(app, id)).toBe(true)
      const second = ack(other, id) // waits for the first one
      await app.query('commit')
      expect(await second).toBe(false)
    })
  })

  test('raw messages and attachments come whole; what is not there is null', async () => {
    const bytes = randomBytes(700_000)
    const id = await insertMessage(house.db, { accountId, raw: bytes })
    await insertAttachment(house.db, id, {
      ordinal: 1,
      name: 'a.bin',
      chunks: [bytes.subarray(0, 300_000), bytes.subarray(300_000, 500_000)],
    })
    await insertAttachment(house.db, id, { ordinal: 2, name: 'empty', chunks: [] })
    const read = async (call: string, ...args: unknown[]): Promise<Buffer | null | undefined> =>
      (await app.query<{ bytes: Buffer | null }>(`select poststelle.${call} as bytes`, args)).rows[0]?.bytes
    expect((await read('raw_message($1)', id))?.equals(bytes)).toBe(true)
    expect((await read('attachment($1, $2)', id, 1))?.equals(bytes.subarray(0, 500_000))).toBe(true)
    expect(await read('attachment($1, $2)', id, 2)).toEqual(Buffer.alloc(0))
    for (const args of [
      [id, 3],
      [999_999, 1],
      [null, 1],
      [id, null],
    ])
      expect(await read('attachment($1, $2)', ...args)).toBeNull()
    for (const unknown of [999_999, null]) expect(await read('raw_message($1)', unknown)).toBeNull()
    const { rows } = await app.query(
      'select ordinal, name, size_bytes, sha256 from poststelle.inbox_attachments where message_id = $1 order by 1',
      [id],
    )
    expect(rows).toMatchObject([
      { ordinal: 1, name: 'a.bin', size_bytes: '500000' },
      { ordinal: 2, name: 'empty', size_bytes: '0' },
    ])
    expect((await app.query('select attachment_count from poststelle.inbox where id = $1', [id])).rows).toEqual([
      { attachment_count: '2' },
    ])
  })

  test('words are found as people write them, in German and in English', async () => {
    const [german = 0, english = 0] = await waiting(2)
    await settle(house.database.pool, german, { text: 'Die Häuser und ihre Rechnungen, ohne Anhänge' })
    await settle(house.database.pool, english, { text: 'Invoices were delivered to the houses by Müller-Lüdenscheidt' })
    const found = async (language: string, words: string): Promise<number[]> => {
      const { rows } = await app.query<{ id: string }>(
        `select id from poststelle.inbox where search @@ websearch_to_tsquery($1::regconfig, $2) and id in ($3, $4) order by id`,
        [language, words, german, english],
      )
      return rows.map(({ id }) => Number(id))
    }
    expect(await found('german', 'rechnung')).toEqual([german])
    expect(await found('german', 'haus anhang')).toEqual([german])
    expect(await found('german', 'rechnung -haus')).toEqual([])
    expect(await found('german', '"ihre rechnung"')).toEqual([german])
    expect(await found('english', 'delivering invoice')).toEqual([english])
    expect(await found('english', 'house -delivered')).toEqual([])
    expect(await found('simple', 'müller or häuser')).toEqual([german, english])
    expect(await found('german', '')).toEqual([])
    expect(await found('german', `"' & | ! ( :*`)).toEqual([])
  })

  describe('the role', () => {
    test('may read these views, call these functions, and nothing else', async () => {
      const { rows: relations } = await app.query<{ name: string; rights: string }>(`
        select c.relname as name, string_agg(p.may, ',' order by p.may) as rights
        from pg_class c join pg_namespace n on n.oid = c.relnamespace,
          unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) p (may)
        where n.nspname = 'poststelle' and c.relkind in ('r', 'v', 'm', 'p', 'f')
          and (has_table_privilege(c.oid, p.may) or p.may in ('select', 'insert', 'update', 'references') and has_any_column_privilege(c.oid, p.may))
        group by c.relname order by c.relname`)
      expect(relations).toEqual(VIEWS.map((name) => ({ name, rights: 'select' })))
      const { rows: functions } = await app.query<{ name: string }>(`
        select p.proname as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'poststelle' and has_function_privilege(p.oid, 'execute') order by 1`)
      expect(functions.map(({ name }) => name)).toEqual(FUNCTIONS)
      const { rows: others } = await app.query(`
        select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'poststelle' and case when c.relkind = 'S' then has_sequence_privilege(c.oid, 'usage, select, update') end
        union all select 'create' where has_schema_privilege('poststelle', 'create')`)
      expect(others).toEqual([])
    })

    test('is told so', async () => {
      for (const statement of [
        'select * from poststelle.messages',
        'select search from poststelle.message_contents',
        'select bytes from poststelle.message_bodies',
        'select bytes from poststelle.blob_chunks',
        'select * from poststelle.grants',
        `insert into poststelle.parse_queue values (1, 1)`,
        `select nextval('poststelle.inbox_position')`,
        'delete from poststelle.inbox',
        'update poststelle.inbox set acknowledged_at = now()',
        'create table poststelle.mine ()',
        'create function poststelle.mine() returns int language sql as $$select 1$$',
        'truncate poststelle.messages',
        'drop view poststelle.inbox',
        'set role postgres',
      ])
        await expect(app.query(statement), statement).rejects.toThrow(
          /permission denied|must be owner|cannot (?:update|delete)/,
        )
    })

    test('cannot make our functions run code of its own', async () => {
      const [id = 0] = await waiting(1)
      await settle(house.database.pool, id)
      await insertAttachment(house.db, id, { ordinal: 1, name: 'x', chunks: [Buffer.from('real')] })
      const client = await connect()
      const evil = `language plpgsql as $$ begin raise exception 'ran as %', current_user; end $$`
      await client.query(`create function pg_temp.evil(anyelement) returns boolean ${evil}`)
      for (const name of ['int8', 'int4', 'text', 'bytea', 'bool', 'timestamptz'])
        await client.query(`create domain pg_temp.${name} as pg_catalog.${name} check (pg_temp.evil(value))`)
      for (const [name, type] of [
        ['now', ''],
        ['string_agg', 'pg_catalog.bytea, pg_catalog.bytea'],
        ['format', 'pg_catalog.text'],
        ['least', 'pg_catalog.int4'],
      ])
        await client.query(`create function pg_temp.${name}(${type}) returns pg_catalog.int4 ${evil}`)
      for (const table of ['messages', 'message_contents', 'attachments', 'blob_chunks', 'inbox', 'accounts'])
        await client.query(`create temporary table ${table} (id pg_catalog.int4)`)
      await client.query('set search_path = pg_temp, poststelle, pg_catalog')
      expect((await client.query('select poststelle.ack_inbound($1) as ack', [id])).rows).toEqual([{ ack: true }])
      expect((await client.query('select poststelle.attachment($1, 1) as bytes', [id])).rows).toEqual([
        { bytes: Buffer.from('real') },
      ])
      expect((await client.query('select poststelle.inbox_since(0, 1)')).rowCount).toBe(1)
      expect((await client.query('select poststelle.raw_message($1) is not null as there', [id])).rows).toEqual([
        { there: true },
      ])
    })
  })
})
