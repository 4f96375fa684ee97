import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { submitMessage, submitParts } from '../../../src/db/submissions.ts'
import { openHouse, passwordAccount, type TestHouse } from '../../support/house.ts'

const base = { from: 'a@example.test', to: ['b@example.test'], subject: 'Hallo', text: 'Text' }

describe('accepting', () => {
  let house: TestHouse
  beforeAll(async () => {
    house = await openHouse()
    await house.importAccounts([
      passwordAccount('a@example.test', { default: true }),
      passwordAccount('other@example.test'),
      passwordAccount('r@example.test', { smtp: null }),
    ])
  })
  afterAll(() => house.close())

  const raw = (text: string | Buffer, over: { to?: string[]; key?: string } = {}) =>
    submitMessage(house.db, {
      account: 'a@example.test',
      envelopeFrom: 'a@example.test',
      recipients: over.to ?? ['b@example.test'],
      raw: typeof text === 'string' ? Buffer.from(text, 'latin1') : text,
      idempotencyKey: over.key ?? null,
    })
  const parts = (given: object, key: string | null = null, account = 'a@example.test') =>
    submitParts(house.db, { account, parts: given, idempotencyKey: key, sendAfter: null, priority: 0 })
  const stored = async (id: number): Promise<string> => {
    const rows = await house.db
      .selectFrom('outbound_bodies')
      .select('bytes')
      .where('message_id', '=', id)
      .orderBy('chunk')
      .execute()
    return Buffer.concat(rows.map((row) => row.bytes)).toString('latin1')
  }
  const recipients = async (id: number) =>
    (
      await sql<{
        address: string
      }>`select address from poststelle.outbound_recipients where message_id = ${id} order by ordinal`.execute(house.db)
    ).rows.map(({ address }) => address)

  describe('a complete message', () => {
    test('loses every Bcc field of its header, folded or not, in any case, and none of its body', async () => {
      const text = await stored(
        await raw(
          'bcc: one@evil.test\nSubject: x\nDate: Mon, 23 Nov 2026 10:00:00 +0000\nBCC : two@evil.test,\n three@evil.test,\n\tfour@evil.test\n' +
            'Resent-Bcc: five@evil.test\nBcc:\n six@evil.test\nMessage-ID: <1@x>\nX-Bcc: kept\nbCc: seven@evil.test\n\nBcc: in the body\n\nBcc: again\n',
        ),
      )
      expect(text).toBe(
        'Subject: x\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@x>\r\nX-Bcc: kept\r\n\r\nBcc: in the body\r\n\r\nBcc: again\r\n',
      )
    })

    test('keeps long lines of headers and body, 8-bit bytes and dots as they are', async () => {
      const text = `Message-ID: <2@x>\r\nDate: x\r\nX-Long: ${'h'.repeat(2_000)}\r\n\r\n.${'\xff'.repeat(3_000)}\r\n..\r\n.\r\n`
      expect(await stored(await raw(text))).toBe(text)
    })

    test.each([
      ['none', 'Subject: x'],
      ['an empty one', 'Subject: x\nMessage-ID: \nDate: x'],
    ])('gets a Message-ID where it has %s', async (_, header) => {
      const text = await stored(await raw(`${header}\n\nx`))
      expect(text.match(/message-id/gi)).toHaveLength(1)
      expect(text).toMatch(/^Message-ID: <[0-9a-f-]{36}@example\.test>\r$/m)
    })

    test('may have a Message-ID of 998 characters', async () => {
      const id = `<${'i'.repeat(994)}@x>`.slice(0, 997) + '>'
      expect(await stored(await raw(`Message-ID:\n ${id}\n\nx`))).toContain(id)
    })

    test.each([
      ['an empty first line', '\nSubject: x\n\ny', /^raw: it begins with an empty line/],
      ['no header field in the first line', 'Hello\n\ny', /^raw: line 1 of the headers is not a header field/],
      ['a continuation in the first line', ' x\nSubject: x\n\ny', /^raw: line 1 of the headers/],
      ['an mbox separator', 'From a@b Mon Nov 23\nSubject: x\n\ny', /^raw: line 1 of the headers/],
      ['text among the headers', 'Subject: x\nhello\nBcc: x@y\n\ny', /^raw: line 2 of the headers/],
      ['two Message-IDs', 'Message-ID: <1@x>\nmessage-id : <2@x>\n\ny', /^raw: it has more than one Message-ID/],
      ['two dates', 'Date: x\nDATE: y\n\ny', /^raw: it has more than one Date/],
      [
        'a Message-ID of 999 characters',
        `Message-ID: <${'i'.repeat(997)}>\n\ny`,
        /^raw: the Message-ID is longer than 998 characters$/,
      ],
      [
        'a Message-ID of 100,000 characters',
        `Message-ID: <${'i'.repeat(100_000)}>\n\ny`,
        /^raw: the Message-ID is longer/,
      ],
      ['a Message-ID without brackets', 'Message-ID: 1@x\n\ny', /^raw: the Message-ID is not of the form <id@domain>$/],
      ['headers of 2 MB', `X-A: ${'h'.repeat(2_000_000)}\n\ny`, /^raw: the header fields are larger than 1 MB$/],
    ])('is refused for %s', async (_, text, sentence) => {
      await expect(raw(text)).rejects.toThrow(sentence)
    })

    test('is submitted by positional calls with untyped literals and parameters, as before', async () => {
      const client = new pg.Client(house.database.url)
      await client.connect()
      await client.query('set role poststelle_app')
      for (const rest of ['', `, 'positional'`, `, 'positional', null`, `, 'positional', null, 3`]) {
        const { rows } = await client.query<{ id: string }>(
          `select poststelle.submit_message('a@example.test', 'a@example.test', '{b@example.test}', 'Subject: x'${rest}) as id`,
        )
        expect(await stored(Number(rows[0]?.id))).toContain('Subject: x\r\n')
      }
      const { rows } = await client.query<{ id: string }>(
        'select poststelle.submit_message($1, $1, $2, $3, $4) as id',
        ['a@example.test', ['b@example.test'], Buffer.from('Subject: \xff', 'latin1'), 'untyped'],
      )
      expect(await stored(Number(rows[0]?.id))).toContain('Subject: \xff\r\n')
      await client.end()
    })
  })

  describe('parts', () => {
    test('are accepted by the application role, which sees no draft', async () => {
      const client = new pg.Client(house.database.url)
      await client.connect()
      await client.query('set role poststelle_app')
      await client.query(`select poststelle.submit_parts(null, $1)`, [JSON.stringify(base)])
      await client.query(
        `select poststelle.submit_parts('a@example.test', '{"from":"a@b","bcc":["c@d"],"html":"x"}', 'literal')`,
      )
      for (const hidden of ['outbound_drafts', 'outbound_draft_attachments'])
        await expect(client.query(`select * from poststelle.${hidden}`)).rejects.toThrow(/permission denied/)
      await client.end()
    })

    test('name recipients in to, cc and bcc; what is stored for composing has no bcc', async () => {
      const id = await parts({
        ...base,
        to: ['b@example.test', { address: 'c@example.test', name: 'C' }],
        cc: ['d@example.test', 'b@example.test'],
        bcc: [{ address: 'secret@example.test', name: null }],
      })
      expect(await recipients(id)).toEqual([
        'b@example.test',
        'c@example.test',
        'd@example.test',
        'secret@example.test',
      ])
      const { rows } = await sql<{
        text: string
      }>`select d::text as text from poststelle.outbound_drafts d where message_id = ${id}`.execute(house.db)
      expect(rows[0]?.text).not.toContain('secret')
      const shown =
        await sql`select envelope_from, subject, size_bytes, message_id ~ '^<[^<>@]+@example.test>$' as named, state
        from poststelle.outbox where id = ${id}`.execute(house.db)
      expect(shown.rows).toEqual([
        { envelope_from: 'a@example.test', subject: 'Hallo', size_bytes: null, named: true, state: 'queued' },
      ])
    })

    test('may have another envelope sender, and none', async () => {
      for (const envelope_from of ['bounces@example.test', '']) {
        const id = await parts({ ...base, envelope_from })
        const { rows } = await sql`select envelope_from from poststelle.outbox where id = ${id}`.execute(house.db)
        expect(rows).toEqual([{ envelope_from }])
      }
    })

    const attach = (over: object) => ({ ...base, attachments: [{ content: 'eA==', ...over }] })
    test.each<[string, object, RegExp]>([
      ['an unknown key', { ...base, sbject: 'x' }, /^parts: 'sbject' is not known; possible are from, /],
      ['an array', [base], /^parts: is not an object/],
      ['no sender', { ...base, from: undefined }, /^parts\.from: is missing/],
      [
        'a sender with a display name in it',
        { ...base, from: 'A <a@example.test>' },
        /^parts\.from: 'A <a@example\.test>' is not a plain/,
      ],
      ['an address without its text', { ...base, from: { name: 'A' } }, /^parts\.from\.address: is missing/],
      ['a number as an address', { ...base, from: { address: 7 } }, /^parts\.from\.address: is not a text/],
      [
        'an unknown key of an address',
        { ...base, from: { address: 'a@b', nmae: 'A' } },
        /^parts\.from: 'nmae' is not known; possible are address, name/,
      ],
      ['recipients that are no array', { ...base, to: 'b@example.test' }, /^parts\.to: is not an array/],
      ['a null among the recipients', { ...base, to: [null] }, /^parts\.to\[0\]: is not an object/],
      [
        'a bad address in its place',
        { ...base, to: ['b@c', 'd@e', { address: 'x y@z' }] },
        /^parts\.to\[2\]\.address: 'x y@z' is not a plain/,
      ],
      [
        'a line break in a name',
        { ...base, to: [{ address: 'b@c', name: 'x\r\nBcc: y@z' }] },
        /^parts\.to\[0\]\.name: contains a line break/,
      ],
      [
        'an encoded word as a name',
        { ...base, to: [{ address: 'b@c', name: '=?utf-8?q?x?=' }] },
        /^parts\.to\[0\]\.name: contains an encoded word/,
      ],
      ['no recipients', { ...base, to: [] }, /^parts\.to: at least one recipient/],
      [
        '1001 recipients in one list',
        { ...base, to: Array.from({ length: 1001 }, (_, i) => `r${i}@b`) },
        /^parts\.to: more than 1000/,
      ],
      [
        '1001 recipients together',
        { ...base, to: Array.from({ length: 999 }, (_, i) => `r${i}@b`), cc: ['a@b', 'b@b'] },
        /^parts\.to: to, cc and bcc have more than 1000/,
      ],
      ['two reply addresses', { ...base, reply_to: ['a@b'] }, /^parts\.reply_to: is not an object/],
      ['a subject that is a number', { ...base, subject: 1 }, /^parts\.subject: is not a text/],
      ['a subject of 999 characters', { ...base, subject: 'x '.repeat(500) }, /^parts\.subject: is longer than 998/],
      [
        'a word that cannot be folded',
        { ...base, subject: 'x'.repeat(901) },
        /^parts\.subject: contains a word of more than 900/,
      ],
      ['no content', { ...base, text: '' }, /^parts\.text: a text, an html or an attachment is needed/],
      ['a text that is none', { ...base, text: ['x'] }, /^parts\.text: is not a text/],
      ['a text of 11 MB', { ...base, text: 'x'.repeat(11_000_000) }, /^parts\.text: is larger than 10 MB/],
      ['headers as an array', { ...base, headers: [] }, /^parts\.headers: is not an object/],
      [
        'a header of ours',
        { ...base, headers: { bCC: 'x@y' } },
        /^parts\.headers\['bCC'\]: is not a header field that may be set/,
      ],
      [
        'a header name with a colon',
        { ...base, headers: { 'X-A: b\r\nBcc': 'x@y' } },
        /^parts\.headers\['X-A: b\?\?Bcc'\]: is not a header field/,
      ],
      [
        'the same header twice',
        { ...base, headers: { 'X-A': '1', 'x-a': '2' } },
        /^parts\.headers\['X-A'\]: is there twice/,
      ],
      ['an empty header', { ...base, headers: { 'X-A': ' ' } }, /^parts\.headers\['X-A'\]: is empty/],
      [
        'references that are none',
        { ...base, headers: { References: '<a@b> x' } },
        /^parts\.headers\['References'\]: is not a list of Message-IDs/,
      ],
      [
        'a List-Unsubscribe outside of ASCII',
        { ...base, headers: { 'List-Unsubscribe': '<https://ä.test>' } },
        /^parts\.headers\['List-Unsubscribe'\]: contains characters that are not ASCII/,
      ],
      [
        'a receipt for a display name',
        { ...base, headers: { 'Disposition-Notification-To': 'A <a@b>' } },
        /^parts\.headers\['Disposition-Notification-To'\]: 'A <a@b>' is not a plain/,
      ],
      ['attachments as an object', { ...base, attachments: {} }, /^parts\.attachments: is not an array/],
      [
        'an attachment without content',
        attach({ content: undefined }),
        /^parts\.attachments\[0\]\.content: is missing/,
      ],
      ['content that is not base64', attach({ content: 'ä!' }), /^parts\.attachments\[0\]\.content: is not base64/],
      ['a path of an attachment', attach({ path: '/etc/passwd' }), /^parts\.attachments\[0\]: 'path' is not known/],
      [
        'a URL of an attachment',
        attach({ href: 'http://127.0.0.1/' }),
        /^parts\.attachments\[0\]: 'href' is not known/,
      ],
      [
        'a media type that is none',
        attach({ content_type: 'pdf' }),
        /^parts\.attachments\[0\]\.content_type: 'pdf' is not a media type/,
      ],
      [
        'a multipart as an attachment',
        attach({ content_type: 'multipart/mixed; boundary=x' }),
        /content_type: .* cannot be attached/,
      ],
      [
        'a partial message as an attachment',
        attach({ content_type: 'message/partial' }),
        /content_type: .* cannot be attached/,
      ],
      [
        'a NUL in an attached message',
        attach({ content_type: 'message/rfc822', content: 'AA==' }),
        /^parts\.attachments\[0\]\.content: a message contains a NUL/,
      ],
      [
        'a content id with brackets',
        attach({ content_id: '<x>' }),
        /^parts\.attachments\[0\]\.content_id: '<x>' is not an id/,
      ],
      [
        'another disposition',
        attach({ disposition: 'form-data' }),
        /^parts\.attachments\[0\]\.disposition: is neither/,
      ],
      [
        'a line break in a file name',
        attach({ filename: 'a\r\nb' }),
        /^parts\.attachments\[0\]\.filename: contains a line break/,
      ],
      [
        'an envelope sender that is none',
        { ...base, envelope_from: 'x y' },
        /^parts\.envelope_from: 'x y' is not a plain/,
      ],
    ])('with %s are refused, and the path is named', async (_, given, sentence) => {
      await expect(parts(given)).rejects.toThrow(sentence)
    })

    test('that make a message larger than 150 MB are refused', async () => {
      const [text, content] = ['x'.repeat(10_000_000), Buffer.alloc(72_000_000).toString('base64')]
      await expect(parts({ ...base, text, html: text, attachments: [{ content }] })).rejects.toThrow(
        /^parts: the message would be larger than 150 MB/,
      )
    })

    test('are refused where the account cannot send or is not known, or the priority is out of range', async () => {
      await expect(parts(base, null, 'r@example.test')).rejects.toThrow(/^account: 'r@example.test' has no SMTP server/)
      await expect(parts(base, null, 'x@example.test')).rejects.toThrow(/^account: 'x@example.test' is not known/)
      await expect(
        submitParts(house.db, {
          account: 'a@example.test',
          parts: base,
          idempotencyKey: '',
          sendAfter: null,
          priority: 0,
        }),
      ).rejects.toThrow(/^idempotency_key: 1 to 255/)
      await expect(
        submitParts(house.db, {
          account: 'a@example.test',
          parts: base,
          idempotencyKey: null,
          sendAfter: null,
          priority: 101,
        }),
      ).rejects.toThrow(/^priority:/)
    })
  })

  describe('an idempotency key', () => {
    test('stands for the parts, however they are written', async () => {
      const id = await parts({ ...base, bcc: ['z@example.test'] }, 'same-parts')
      const written = {
        text: 'Text',
        bcc: [{ address: 'z@example.test' }],
        to: [{ name: '', address: 'b@example.test' }],
        subject: 'Hallo',
        from: 'a@example.test',
        cc: null,
      }
      expect(await parts(written, 'same-parts')).toBe(id)
    })

    test.each<[string, object]>([
      ['text', { text: 'Other' }],
      ['subject', { subject: 'Other' }],
      ['bcc', { bcc: ['y@example.test'] }],
      ['envelope sender', { envelope_from: 'y@example.test' }],
      ['attachment', { attachments: [{ content: 'eA==' }] }],
      ['header', { headers: { 'X-A': '1' } }],
    ])('is refused with another %s', async (name, over) => {
      const key = `other-${name}`
      const id = await parts(base, key)
      await expect(parts({ ...base, ...over }, key)).rejects.toMatchObject({
        code: '23505',
        message: `idempotency_key: '${key}' was used for another message (id ${id})`,
      })
    })

    test('covers the bytes of attachments', async () => {
      const with_ = (content: string) => ({ ...base, attachments: [{ content, filename: 'a' }] })
      const id = await parts(with_('eHh4'), 'bytes')
      expect(await parts(with_('eH\nh4'), 'bytes')).toBe(id)
      await expect(parts(with_('eHh5'), 'bytes')).rejects.toMatchObject({ code: '23505' })
    })

    test('is one for both forms, and each account has its own', async () => {
      await parts(base, 'both')
      await expect(raw('Subject: x\n\ny', { key: 'both' })).rejects.toMatchObject({ code: '23505' })
      await raw('Subject: x\n\ny', { key: 'both-raw' })
      await expect(parts(base, 'both-raw')).rejects.toMatchObject({ code: '23505' })
      expect(await parts(base, 'both', 'other@example.test')).toBeGreaterThan(0)
    })

    test('is not free again when the message is done', async () => {
      const id = await parts(base, 'for-ever')
      await sql`update poststelle.outbound_messages set state = 'cancelled', next_attempt_at = null, finished_at = now() where id = ${id}`.execute(
        house.db,
      )
      expect(await parts(base, 'for-ever')).toBe(id)
    })
  })
})
