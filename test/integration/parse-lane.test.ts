import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { claimForParsing, reparse, settleContents, wakeParseLanes } from '../../src/db/parsing.ts'
import { sweepBlobs } from '../../src/db/blobs.ts'
import { releaseLane } from '../../src/db/lanes.ts'
import { submitMessage } from '../../src/db/submissions.ts'
import { parseLane, type ParseResult } from '../../src/retrieval/parse-lane.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { storeMail } from '../support/stored-mail.ts'

const NEVER = new AbortController().signal

interface InboxRow {
  id: number
  parse_state: string
  parse_reason: string | null
  position: number | null
  kind: string | null
  thread_id: string | null
  in_reply_to: string | null
  reference_ids: string[] | null
  body_text: string | null
  body_html: string | null
  parse_notes: string[] | null
  attachment_count: number
}

const mail = (fields: Record<string, string>, body = 'Guten Tag\r\n'): string =>
  `${Object.entries({ From: 'a@example.test', To: 'b@example.test', ...fields })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n${body}`

const withFile = (name: string, bytes: Buffer): string =>
  `Subject: Datei\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nanbei\r\n--b\r\n` +
  `Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="${name}"\r\n\r\n` +
  `${bytes.toString('base64').replace(/.{76}/g, '$&\r\n')}\r\n--b--\r\n`

/** Over a limit at once. */
const BOMB = `Content-Type: multipart/mixed; boundary=b\r\n\r\n${'--b\r\n\r\nx\r\n'.repeat(2_000)}--b--\r\n`

describe('the parse lane', () => {
  let house: TestHouse
  let accountId: number

  beforeAll(async () => {
    house = await openHouse()
    const [account] = await house.importAccounts([passwordAccount('a@example.test')])
    accountId = account?.id ?? 0
  })
  afterAll(async () => {
    await house.close()
  })
  beforeEach(async () => {
    await sql`delete from poststelle.messages`.execute(house.db)
    await sql`delete from poststelle.blobs`.execute(house.db)
    await sql`delete from poststelle.blob_chunks`.execute(house.db)
  })

  const drain = async (): Promise<ParseResult> => await parseLane(house, await house.lease(accountId, 'parse'), NEVER)
  const inbox = async (): Promise<InboxRow[]> => {
    const { rows } = await sql<InboxRow>`select * from poststelle.inbox order by id`.execute(house.db)
    return rows
  }
  const attachment = async (id: number, ordinal: number): Promise<Buffer | undefined> => {
    const { rows } = await sql<{ bytes: Buffer }>`select poststelle.attachment(${id}, ${ordinal}) as bytes`.execute(
      house.db,
    )
    return rows[0]?.bytes
  }
  const count = async (table: string): Promise<number> => {
    const { rows } = await sql<{ n: number }>`select count(*) as n from ${sql.table(`poststelle.${table}`)}`.execute(
      house.db,
    )
    return rows[0]?.n ?? -1
  }
  const laneDue = async (): Promise<Date | null | undefined> => {
    const { rows } = await sql<{ due_at: Date | null }>`
      select due_at from poststelle.lanes where account_id = ${accountId} and lane = 'parse' and lease_token is null`.execute(
      house.db,
    )
    return rows[0]?.due_at
  }

  test('makes a stored message readable: text, HTML, position, and nothing waits', async () => {
    const alternative =
      'Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nGr\u00fc\u00dfe\r\n' +
      '--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>Gr=C3=BC=C3=9Fe</p>\r\n--b--\r\n'
    const [id = 0] = await storeMail(house.db, accountId, [Buffer.from(alternative, 'latin1')])
    expect(await drain()).toEqual({ parsed: 1, quarantined: 0 })
    expect(await inbox()).toEqual([
      expect.objectContaining({
        id,
        parse_state: 'parsed',
        parse_reason: null,
        kind: 'mail',
        body_text: 'Gr\u00fc\u00dfe',
        body_html: '<p>Gr\u00fc\u00dfe</p>',
        parse_notes: [],
        thread_id: `message-${id}`,
      }),
    ])
    expect(await count('parse_queue')).toBe(0)
    expect(await laneDue()).toBeNull()
  })

  test('keeps the bytes of attachments, small, large and empty, each content once', async () => {
    const small = randomBytes(1_000)
    const large = randomBytes(900_001)
    const ids = await storeMail(house.db, accountId, [
      withFile('klein.pdf', small),
      withFile('gro\u00df.pdf', large),
      withFile('noch einmal.pdf', large),
      withFile('klein.pdf', small),
      withFile('leer.pdf', Buffer.alloc(0)),
    ])
    expect(await drain()).toEqual({ parsed: 5, quarantined: 0 })
    const bytes = await Promise.all(ids.map((id) => attachment(id, 1)))
    expect(bytes.map((each) => each?.length)).toEqual([1_000, 900_001, 900_001, 1_000, 0])
    expect(bytes[0]?.equals(small)).toBe(true)
    expect(bytes[1]?.equals(large)).toBe(true)
    expect(bytes[2]?.equals(large)).toBe(true)
    expect(await count('blobs')).toBe(3)
    expect(await count('blob_chunks')).toBe(1 + 4)
    expect(await count('blob_spools')).toBe(0)
    const { rows } = await sql<{ name: string }>`
      select name, content_type, size_bytes from poststelle.inbox_attachments where message_id = ${ids[1]}`.execute(
      house.db,
    )
    expect(rows).toEqual([
      expect.objectContaining({ name: 'gro\u00df.pdf', content_type: 'application/pdf', size_bytes: 900_001 }),
    ])
  })

  test('finds messages by words of subject, names, text and files', async () => {
    const [id] = await storeMail(house.db, accountId, [
      mail({ Subject: 'Mahnungen', From: 'Erika Muster <erika@example.test>' }, 'Die Rechnungen sind bezahlt.\r\n'),
      mail({ Subject: 'anderes' }),
    ])
    await drain()
    const found = async (words: string): Promise<number[]> => {
      const { rows } = await sql<{ id: number }>`
        select id from poststelle.inbox where search @@ websearch_to_tsquery('german', ${words})`.execute(house.db)
      return rows.map((row) => row.id)
    }
    expect(await found('mahnung')).toEqual([id])
    expect(await found('rechnung')).toEqual([id])
    expect(await found('erika')).toEqual([id])
    expect(await found('lieferschein')).toEqual([])
  })

  test('a message over a limit is quarantined with the reason, keeps nobody up, and is shown to the application', async () => {
    const ids = await storeMail(house.db, accountId, [mail({ Subject: '1' }), BOMB, mail({ Subject: '3' })])
    expect(await drain()).toEqual({ parsed: 2, quarantined: 1 })
    const [, bomb] = await inbox()
    expect(bomb).toMatchObject({
      id: ids[1],
      parse_state: 'quarantined',
      parse_reason: 'it has more than 1000 parts',
      kind: 'mail',
      body_text: null,
    })
    expect(bomb?.position).not.toBeNull()
    const flags = await sql`select from poststelle.health_flags`.execute(house.db)
    expect(flags.rows).toHaveLength(0)
  })

  test('parsing once more with raised limits gives it a new position', async () => {
    const [bomb = 0] = await storeMail(house.db, accountId, [BOMB, mail({ Subject: 'danach' })])
    await drain()
    const [before, other] = await inbox()
    expect(await reparse(house.db, [bomb, 999_999_999], { raisedLimits: true })).toBe(1)
    expect((await inbox())[0]).toMatchObject({ parse_state: 'pending', position: null })
    expect(await laneDue()).not.toBeNull()
    expect(await drain()).toEqual({ parsed: 1, quarantined: 0 })
    const [after] = await inbox()
    expect(after).toMatchObject({ parse_state: 'parsed' })
    expect(after?.position).toBeGreaterThan(Math.max(before?.position ?? 0, other?.position ?? 0))
  })

  test('a message that is to be parsed with raised limits while it is parsed with the usual ones is not settled by these', async () => {
    const [id = 0] = await storeMail(house.db, accountId, [BOMB])
    const lease = await house.lease(accountId, 'parse')
    expect(await claimForParsing(house.db, lease, 20)).toMatchObject([{ id, raisedLimits: false }])
    await reparse(house.db, [id], { raisedLimits: true })
    const usual = { reason: 'too many parts', kind: 'mail', inReplyTo: null, bodyText: null, bodyHtml: null } as const
    const empty = { internetMessageId: null, referenceIds: [], notes: [], attachments: [], reports: [] }
    await settleContents(house.database, lease, [{ id, ...usual, ...empty }])
    await releaseLane(house.db, lease, new Date())
    expect(await inbox()).toMatchObject([{ parse_state: 'pending' }])
    expect(await drain()).toEqual({ parsed: 1, quarantined: 0 })
  })

  test('an attempt that was never heard of again counts, and the message comes behind the others, alone', async () => {
    const ids = await storeMail(house.db, accountId, [
      mail({ Subject: '1' }),
      mail({ Subject: '2' }),
      mail({ Subject: '3' }),
    ])
    await sql`update poststelle.parse_queue set attempts = 1 where message_id = ${ids[0]}`.execute(house.db)
    await sql`update poststelle.parse_queue set attempts = 3 where message_id = ${ids[1]}`.execute(house.db)
    expect(await drain()).toEqual({ parsed: 2, quarantined: 1 })
    const rows = (await inbox()).toSorted((a, b) => (a.position ?? 0) - (b.position ?? 0))
    expect(rows.map(({ id, parse_reason }) => [id, parse_reason])).toEqual([
      [ids[2], null],
      [ids[0], null],
      [ids[1], 'its parsing ended the process again and again'],
    ])
  })

  test('threads: of the message that is answered, of the oldest that is named, or its own', async () => {
    const ids = await storeMail(house.db, accountId, [
      mail({ 'Message-ID': '<root@x>' }),
      mail({ 'Message-ID': '<reply@x>', 'In-Reply-To': '<root@x>' }),
      mail({ 'Message-ID': '<third@x>', 'In-Reply-To': '<reply@x>' }),
      mail({ 'Message-ID': '<stray@x>', References: '<gone1@x> <gone2@x>', 'In-Reply-To': '<gone2@x>' }),
      mail({}),
    ])
    await drain()
    const [later = 0] = await storeMail(house.db, accountId, [mail({ References: '<nobody@x> <third@x>' })])
    await drain()
    const rows = await inbox()
    expect(rows.map((row) => row.thread_id)).toEqual([
      '<root@x>',
      '<root@x>',
      '<root@x>',
      '<gone1@x>',
      `message-${ids[4]}`,
      '<root@x>',
    ])
    expect(rows.at(-1)).toMatchObject({ id: later, reference_ids: ['<nobody@x>', '<third@x>'], in_reply_to: null })
  })

  test('a delivery report finds the mail it speaks of, by Message-ID, and by recipient where only one can be meant', async () => {
    const submit = async (recipients: string[], key: string): Promise<number> => {
      const raw = Buffer.from(`Message-ID: <${key}@out>\r\nSubject: x\r\n\r\nx`)
      const id = await submitMessage(house.db, {
        account: 'a@example.test',
        envelopeFrom: 'a@example.test',
        recipients,
        raw,
        idempotencyKey: key,
      })
      await sql`update poststelle.outbound_messages set state = 'sent', finished_at = now(), next_attempt_at = null where id = ${id}`.execute(
        house.db,
      )
      return id
    }
    const first = await submit(['x@there.test', 'y@there.test'], 'one')
    const second = await submit(['once@there.test'], 'two')
    await submit(['twice@there.test'], 'three')
    await submit(['twice@there.test'], 'four')
    const report = (recipient: string, original = ''): string =>
      'From: Mailer-Daemon@there.test\r\nTo: a@example.test\r\nSubject: Undelivered Mail\r\n' +
      'Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n' +
      `Reporting-MTA: dns; mx.there.test\r\n\r\nFinal-Recipient: rfc822; ${recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n` +
      `--b\r\nContent-Type: message/rfc822\r\n\r\n${original}Subject: x\r\n\r\nx\r\n--b--\r\n`
    await storeMail(house.db, accountId, [
      report('Y@there.test', 'Message-ID: <one@out>\r\n'),
      report('once@there.test'),
      report('twice@there.test'),
    ])
    await drain()
    const { rows } = await sql`
      select action, recipient, status, diagnostic, reporting_mta, outbound_message_id, outbound_ordinal
      from poststelle.delivery_reports order by message_id`.execute(house.db)
    const same = {
      action: 'failed',
      status: '5.1.1',
      diagnostic: '550 5.1.1 no such user',
      reporting_mta: 'mx.there.test',
    }
    expect(rows).toEqual([
      { ...same, recipient: 'Y@there.test', outbound_message_id: first, outbound_ordinal: 2 },
      { ...same, recipient: 'once@there.test', outbound_message_id: second, outbound_ordinal: 1 },
      { ...same, recipient: 'twice@there.test', outbound_message_id: null, outbound_ordinal: null },
    ])
    expect((await inbox()).map((row) => row.kind)).toEqual(Array.from({ length: 3 }, () => 'delivery_report'))
  })

  test('whoever lost the lease writes nothing', async () => {
    await storeMail(house.db, accountId, [mail({ Subject: '1' })])
    const lease = await house.lease(accountId, 'parse')
    await sql`update poststelle.lanes set lease_token = gen_random_uuid() where lane = 'parse'`.execute(house.db)
    await expect(parseLane(house, lease, NEVER)).rejects.toThrow('taken over')
    await sql`update poststelle.lanes set lease_token = null, lease_until = null, lease_worker = null where lane = 'parse'`.execute(
      house.db,
    )
    expect((await inbox())[0]).toMatchObject({ parse_state: 'pending' })
    expect(await drain()).toEqual({ parsed: 1, quarantined: 0 })
  })

  test('a lane that is stopped gives its attempts back and is due at once', async () => {
    await storeMail(house.db, accountId, [mail({ Subject: '1' }), mail({ Subject: '2' })])
    const stop = new AbortController()
    stop.abort(new Error('stopping'))
    expect(await parseLane(house, await house.lease(accountId, 'parse'), stop.signal)).toEqual({
      parsed: 0,
      quarantined: 0,
    })
    const { rows } = await sql`select distinct attempts from poststelle.parse_queue`.execute(house.db)
    expect(rows).toEqual([{ attempts: 0 }])
    expect(await laneDue()).not.toBeNull()
  })

  test('a lane with waiting mail that no bell has woken becomes due', async () => {
    await drain()
    await storeMail(house.db, accountId, [mail({ Subject: '1' })])
    expect(await laneDue()).toBeNull()
    expect(await wakeParseLanes(house.db)).toBe(1)
    expect(await laneDue()).not.toBeNull()
    expect(await wakeParseLanes(house.db)).toBe(0)
  })

  test('the sweep removes contents that no message has any more, and no others', async () => {
    const [gone = 0] = await storeMail(house.db, accountId, [
      withFile('a.pdf', randomBytes(300_000)),
      withFile('b.pdf', randomBytes(300_000)),
    ])
    await drain()
    await sql`delete from poststelle.messages where id = ${gone}`.execute(house.db)
    await sql`insert into poststelle.blob_spools (blob_id, started_at) values (99000001, now() - interval '2 days')`.execute(
      house.db,
    )
    await sql`insert into poststelle.blob_chunks (blob_id, chunk, bytes) values (99000001, 0, 'x')`.execute(house.db)
    expect(await sweepBlobs(house.db)).toBe(1)
    await sql`update poststelle.blobs set created_at = now() - interval '2 days'`.execute(house.db)
    expect(await sweepBlobs(house.db)).toBe(1)
    expect(await count('blobs')).toBe(1)
    expect(await count('blob_chunks')).toBe(2)
    expect(await count('blob_spools')).toBe(0)
  })
})
