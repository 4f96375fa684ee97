import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import path from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LIMITS } from '../../src/message/limits.ts'
import { ParsePool } from '../../src/message/parse-pool.ts'
import { parseLane, type ParseContext } from '../../src/retrieval/parse-lane.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { storeMail } from '../support/stored-mail.ts'

const NEVER = new AbortController().signal

/** Seconds of work for its thread: a line is work, however short. */
const SLOW = Buffer.concat([
  Buffer.from('Subject: langsam\r\nContent-Type: application/pdf\r\n\r\n'),
  Buffer.alloc(40_000_000, '\n'),
])
const simple = (i: number): string => `Subject: Nr. ${i}\r\nMessage-ID: <${i}@x>\r\n\r\nText ${i}\r\n`
const withFiles = (files: readonly Buffer[]): string =>
  `Content-Type: multipart/mixed; boundary=b\r\n\r\n${files
    .map(
      (bytes, i) =>
        `--b\r\nContent-Type: application/pdf; name=${i}.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n${bytes.toString('base64')}\r\n`,
    )
    .join('')}--b--\r\n`

describe('parsing that goes wrong, and lanes side by side', () => {
  let house: TestHouse
  const accounts: number[] = []

  beforeAll(async () => {
    house = await openHouse()
    const made = await house.importAccounts(['a', 'b', 'c', 'd'].map((name) => passwordAccount(`${name}@example.test`)))
    accounts.push(...made.map(({ id }) => id))
  })
  afterAll(async () => {
    await house.close()
  })
  beforeEach(async () => {
    await sql`delete from poststelle.messages`.execute(house.db)
    await sql`delete from poststelle.blobs`.execute(house.db)
    await sql`delete from poststelle.blob_chunks`.execute(house.db)
  })

  const account = (): number => accounts[0] ?? 0
  const drain = async (accountId: number, ctx: ParseContext = house): Promise<void> => {
    await parseLane(ctx, await house.lease(accountId, 'parse'), NEVER)
  }
  const queue = async () => {
    const { rows } = await sql<{ message_id: number; attempts: number }>`
      select message_id, attempts from poststelle.parse_queue order by message_id`.execute(house.db)
    return rows
  }
  const inbox = async () => {
    const { rows } = await sql<{ id: number; parse_state: string; parse_reason: string | null }>`
      select id, parse_state, parse_reason from poststelle.inbox order by position`.execute(house.db)
    return rows
  }

  test('a message that takes its thread with it is tried once more, then quarantined; the others are parsed', async () => {
    const parsePool = new ParsePool({ threads: 1, limits: { ...LIMITS, deadlineMs: 300 } })
    const ids = await storeMail(house.db, account(), [SLOW, simple(1), simple(2)])
    await drain(account(), { ...house, parsePool })
    await parsePool.close()
    expect(await inbox()).toEqual([
      { id: ids[1], parse_state: 'parsed', parse_reason: null },
      { id: ids[2], parse_state: 'parsed', parse_reason: null },
      { id: ids[0], parse_state: 'quarantined', parse_reason: 'the parser needed more than 0.3 s for it' },
    ])
    expect(await queue()).toEqual([])
  })

  test('what was spooled of a message that broke is gone with it', async () => {
    const parsePool = new ParsePool({
      threads: 1,
      limits: { ...LIMITS, parts: 1_000_000, heapMb: 32, deadlineMs: 60_000 },
    })
    const bomb = `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/pdf\r\n\r\n${'x'.repeat(600_000)}\r\n${'--b\r\n\r\nx\r\n'.repeat(300_000)}`
    await storeMail(house.db, account(), [bomb])
    await drain(account(), { ...house, parsePool })
    await parsePool.close()
    expect(await inbox()).toEqual([
      expect.objectContaining({
        parse_state: 'quarantined',
        parse_reason: 'the parser needed more than 32 MB of memory for it',
      }),
    ])
    const { rows } = await sql`
      select (select count(*) from poststelle.blob_chunks) as chunks, (select count(*) from poststelle.blob_spools) as spools`.execute(
      house.db,
    )
    expect(rows).toEqual([{ chunks: 0, spools: 0 }])
  })

  test('a message that ends the whole process again and again is quarantined, and no other is taken for it', async () => {
    const [slow] = await storeMail(house.db, account(), [SLOW, simple(1), simple(2)])
    for (let kill = 1; kill <= 3; kill++) {
      const child = spawn(
        process.execPath,
        [path.join(import.meta.dirname, '../support/parse-child.ts'), house.database.url, String(account())],
        { stdio: 'inherit' },
      )
      const gone = once(child, 'exit')
      await expect
        .poll(async () => (await queue()).find(({ message_id: id }) => id === slow)?.attempts, {
          timeout: 20_000,
          interval: 5,
        })
        .toBe(kill)
      child.kill('SIGKILL')
      await gone
      await sql`update poststelle.lanes set lease_token = null, lease_until = null, lease_worker = null`.execute(
        house.db,
      )
    }
    await drain(account())
    expect((await inbox()).map((row) => [row.id === slow, row.parse_state])).toEqual([
      [false, 'parsed'],
      [false, 'parsed'],
      [true, 'quarantined'],
    ])
  })

  test('a database that fails in the middle costs no attempt', async () => {
    await storeMail(house.db, account(), [simple(1), simple(2)])
    await sql`alter table poststelle.message_contents add constraint nothing_fits check (false) not valid`.execute(
      house.db,
    )
    await expect(drain(account())).rejects.toThrow('nothing_fits')
    expect((await queue()).map(({ attempts }) => attempts)).toEqual([0, 0])
    await sql`alter table poststelle.message_contents drop constraint nothing_fits`.execute(house.db)
    await sql`update poststelle.lanes set lease_token = null, lease_until = null, lease_worker = null`.execute(house.db)
    await drain(account())
    expect((await inbox()).map((row) => row.parse_state)).toEqual(['parsed', 'parsed'])
  })

  test('what the database refuses is quarantined, and spoils nothing else', async () => {
    await sql`create function poststelle.refuse() returns trigger language plpgsql as $$ begin
      if new.body_text like '%Text 2%' then raise exception 'no' using errcode = '22021'; end if; return new; end $$`.execute(
      house.db,
    )
    await sql`create trigger refuse before insert on poststelle.message_contents for each row execute function poststelle.refuse()`.execute(
      house.db,
    )
    const bomb = `Content-Type: multipart/mixed; boundary=b\r\n\r\n${'--b\r\n\r\nx\r\n'.repeat(2_000)}`
    const ids = await storeMail(house.db, account(), [bomb, simple(1), simple(2), simple(3)])
    await drain(account())
    await sql`drop trigger refuse on poststelle.message_contents`.execute(house.db)
    const rows = await inbox()
    expect(rows.filter((row) => row.parse_state === 'quarantined')).toEqual([
      { id: ids[0], parse_state: 'quarantined', parse_reason: 'it has more than 1000 parts' },
      { id: ids[2], parse_state: 'quarantined', parse_reason: 'the database refuses what was read out of it (22021)' },
    ])
    expect(rows).toHaveLength(4)
  })

  test('a message whose bytes are not all there is quarantined, and not read as a shorter one', async () => {
    const [torn, whole] = await storeMail(house.db, account(), [withFiles([randomBytes(500_000)]), simple(1)])
    await sql`delete from poststelle.message_bodies where message_id = ${torn} and chunk = 1`.execute(house.db)
    await drain(account())
    expect((await inbox()).map(({ id, parse_reason: reason }) => [id, reason])).toEqual([
      [torn, 'some of its bytes are not in the database'],
      [whole, null],
    ])
  })

  test('of a message whose rest is on the server, the header is read', async () => {
    const [id] = await storeMail(house.db, account(), ['Subject: zu gro\u00df\r\nIn-Reply-To: <a@x>\r\n\r\n'])
    await sql`update poststelle.messages set complete = false, size_bytes = 99000000 where id = ${id}`.execute(house.db)
    await drain(account())
    const { rows } = await sql`select parse_state, in_reply_to, body_text from poststelle.inbox`.execute(house.db)
    expect(rows).toEqual([{ parse_state: 'parsed', in_reply_to: '<a@x>', body_text: '' }])
  })

  test('lanes that settle at once never show a higher position before a lower one', async () => {
    const each = 150
    for (const id of accounts)
      await storeMail(
        house.db,
        id,
        Array.from({ length: each }, (_, i) => simple(i)),
      )
    let cursor = 0
    let done = false
    const seen: number[] = []
    const follow = async (): Promise<void> => {
      for (let last = false; ; last = done) {
        const { rows } = await sql<{ id: number; position: number }>`
          select id, position from poststelle.inbox_since(${cursor}, 20)`.execute(house.db)
        for (const row of rows) {
          expect(row.position).toBeGreaterThan(cursor)
          cursor = row.position
          seen.push(row.id)
        }
        if (last && rows.length === 0) return
      }
    }
    const following = follow()
    await Promise.all(accounts.map((id) => drain(id)))
    done = true
    await following
    expect(seen).toHaveLength(accounts.length * each)
    expect(new Set(seen).size).toBe(seen.length)
  })

  test('lanes that store the same contents at once store each once', async () => {
    const files = Array.from({ length: 6 }, (_, i) => randomBytes(i % 2 === 0 ? 2_000 : 400_000))
    for (const [i, id] of accounts.entries()) {
      const turned = [...files.slice(i), ...files.slice(0, i)]
      await storeMail(house.db, id, [withFiles(turned), withFiles(turned.toReversed())])
    }
    await Promise.all(accounts.map((id) => drain(id)))
    const { rows } = await sql`
      select (select count(*) from poststelle.blobs) as blobs, (select count(*) from poststelle.attachments) as attachments,
        (select count(*) from poststelle.blob_spools) as spools, (select count(distinct blob_id) from poststelle.blob_chunks) as with_chunks,
        (select count(*) from poststelle.attachments t where sha256(poststelle.attachment(t.message_id, t.ordinal)) <> t.sha256) as wrong`.execute(
      house.db,
    )
    expect(rows).toEqual([{ blobs: 6, attachments: 48, spools: 0, with_chunks: 6, wrong: 0 }])
  })

  test('a message that is deleted while it is parsed leaves nothing behind', async () => {
    const [slow = 0, other] = await storeMail(house.db, account(), [withFiles([randomBytes(900_000)]), simple(1)])
    const draining = drain(account())
    await expect.poll(async () => (await queue()).some(({ attempts }) => attempts === 1), { interval: 1 }).toBe(true)
    await sql`delete from poststelle.messages where id = ${slow}`.execute(house.db)
    await draining
    expect((await inbox()).map(({ id }) => id)).toEqual([other])
    expect(await queue()).toEqual([])
  })
})
