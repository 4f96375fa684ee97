import { createHash, randomBytes } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { sql } from 'kysely'
import { simpleParser } from 'mailparser'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LeaseLost } from '../../src/base/failure.ts'
import { releaseLane, type Lease } from '../../src/db/lanes.ts'
import { submitParts } from '../../src/db/submissions.ts'
import { composeDraft } from '../../src/delivery/compose-draft.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'

describe('composing a draft', () => {
  let house: TestHouse
  let accountId: number
  let lease: Lease
  beforeAll(async () => {
    house = await openHouse()
    const [account] = await house.importAccounts([passwordAccount('a@example.test')])
    accountId = account?.id ?? 0
    lease = await house.lease(accountId, 'send')
  })
  afterAll(() => house.close())

  const submit = (over: object = {}, sendAfter: Date | null = null) =>
    submitParts(house.db, {
      account: 'a@example.test',
      parts: {
        from: 'a@example.test',
        to: ['b@example.test'],
        bcc: ['secret@example.test'],
        subject: 'Hallo',
        text: 'Text',
        ...over,
      },
      idempotencyKey: null,
      sendAfter,
      priority: 0,
    })
  const stored = async (id: number): Promise<Buffer> => {
    const rows = await house.db
      .selectFrom('outbound_bodies')
      .select('bytes')
      .where('message_id', '=', id)
      .orderBy('chunk')
      .execute()
    return Buffer.concat(rows.map((row) => row.bytes))
  }
  const message = (id: number) =>
    house.db.selectFrom('outbound_messages').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
  const drafts = async (id: number) =>
    (
      await sql<{ n: number }>`select (select count(*) from poststelle.outbound_drafts where message_id = ${id})
        + (select count(*) from poststelle.outbound_draft_attachments where message_id = ${id}) as n`.execute(house.db)
    ).rows[0]?.n

  test('writes the bytes, their size and hash, and the draft is gone', async () => {
    const id = await submit()
    expect(await drafts(id)).toBe(1)
    const { sizeBytes } = await composeDraft(house.db, lease, id)
    const bytes = await stored(id)
    const row = await message(id)
    expect(bytes.length).toBe(sizeBytes)
    expect(row.size_bytes).toBe(sizeBytes)
    expect(row.sha256?.equals(createHash('sha256').update(bytes).digest())).toBe(true)
    expect(bytes.toString()).toContain(`\r\nMessage-ID: ${row.internet_message_id}\r\n`)
    expect(bytes.toString()).not.toMatch(/bcc|secret/i)
    expect(await drafts(id)).toBe(0)
  })

  test('a second time says the same and changes nothing', async () => {
    const id = await submit()
    const first = await composeDraft(house.db, lease, id)
    const bytes = await stored(id)
    expect(await composeDraft(house.db, lease, id)).toEqual(first)
    expect((await stored(id)).equals(bytes)).toBe(true)
  })

  test('the Date is when it was accepted, or when it is to be sent', async () => {
    const later = new Date(Math.floor(Date.now() / 1000) * 1000 + 86_400_000)
    const [now, scheduled] = [await submit(), await submit({}, later)]
    await composeDraft(house.db, lease, now)
    await composeDraft(house.db, lease, scheduled)
    const dateOf = async (id: number) => (await simpleParser(await stored(id))).date?.getTime()
    expect(await dateOf(now)).toBe(Math.floor((await message(now)).created_at.getTime() / 1000) * 1000)
    expect(await dateOf(scheduled)).toBe(later.getTime())
  })

  test('without the lease nothing is written', async () => {
    const id = await submit({ attachments: [{ content: randomBytes(4_000_000).toString('base64') }] })
    const small = await submit()
    for (const one of [id, small]) {
      await expect(
        composeDraft(house.db, { ...lease, token: '00000000-0000-4000-8000-000000000000' }, one),
      ).rejects.toThrow(LeaseLost)
      expect((await stored(one)).length).toBe(0)
      expect((await message(one)).size_bytes).toBeNull()
    }
  })

  test('what was broken off is taken up again, with the same bytes', async () => {
    const id = await submit({ attachments: [{ content: randomBytes(6_000_000).toString('base64') }] })
    let pieces = 0
    const db = new Proxy(house.db, {
      get(target, key): unknown {
        // reading an attachment fails in the middle
        if (key === 'selectFrom' && ++pieces > 20) throw new Error('connection lost')
        const value: unknown = Reflect.get(target, key)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    await expect(composeDraft(db, lease, id)).rejects.toThrow('connection lost')
    expect((await stored(id)).length).toBeGreaterThan(0)
    await composeDraft(house.db, lease, id)
    const row = await message(id)
    const bytes = await stored(id)
    expect(bytes.length).toBe(row.size_bytes)
    expect(row.sha256?.equals(createHash('sha256').update(bytes).digest())).toBe(true)
  })

  test('an attachment of 30 MB does not stand in memory', { timeout: 120_000 }, async () => {
    const content = randomBytes(30_000_000)
    const id = await submit({ attachments: [{ filename: 'gross.bin', content: content.toString('base64') }] })
    await releaseLane(house.db, lease, null)
    lease = await house.lease(accountId, 'send')
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const held = (): number => {
      collect()
      collect() // the bytes of buffers are let go only by the next one
      const { arrayBuffers, heapUsed } = process.memoryUsage()
      return arrayBuffers + heapUsed
    }
    const before = held()
    let most = 0
    const watch = setInterval(() => void (most = Math.max(most, held())), 400)
    const { sizeBytes } = await composeDraft(house.db, lease, id)
    clearInterval(watch)
    expect(sizeBytes).toBeGreaterThan(40_000_000)
    expect(most).toBeGreaterThan(0)
    expect(most - before).toBeLessThan(20_000_000)
    const encoded = (await stored(id)).toString('latin1').split('\r\n\r\n').at(-1) ?? ''
    expect(Buffer.from(encoded.slice(0, encoded.indexOf('\r\n--')), 'base64').equals(content)).toBe(true)
  })
})
