// `poststelle inbox` on a real database, inside this process: what it prints, writes and refuses.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { removeFolder, tempFolder } from '../support/child.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { insertAttachment, insertMessage, settle } from '../support/inbox-rows.ts'
import { programOn, type ProgramResult, type RunProgram } from '../support/program.ts'

const ESCAPES = 'Rechnung \u001b]0;owned\u0007\u001b[2J\u009b31m photo\u202egpj.exe'
/** What no terminal may be given. */
const DANGEROUS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/
const RAW = Buffer.from('From: x\r\nSubject: \u001b[31m\r\n\r\nFrom me\r\n>From you\r\n\u001b[2J\xff\x00end', 'latin1')
const LARGE = Buffer.from(`Subject: large\r\n\r\n${`From ${'x'.repeat(995)}\r\n`.repeat(5_000)}`)

describe('poststelle inbox', () => {
  let house: TestHouse
  let run: RunProgram
  const folder = tempFolder('inbox')
  const path = (name: string): string => join(folder, name)
  const ids: Record<'plain' | 'hostile' | 'quarantined' | 'pending' | 'large' | 'other', number> = {
    plain: 0,
    hostile: 0,
    quarantined: 0,
    pending: 0,
    large: 0,
    other: 0,
  }
  let accountId = 0
  let emptyList: ProgramResult | undefined

  beforeAll(async () => {
    house = await openHouse()
    run = programOn(house)
    const { db, pool } = house.database
    emptyList = await run(['inbox', 'list'])
    const accounts = await house.importAccounts([passwordAccount('a@example.test'), passwordAccount('b@example.test')])
    accountId = accounts[0]?.id ?? 0
    const on = { accountId }
    ids.plain = await insertMessage(db, {
      ...on,
      subject: 'Bestellung 4711',
      fromName: 'Anna',
      receivedAt: new Date('2026-01-02T03:04:05Z'),
    })
    await settle(pool, ids.plain, { text: 'Drei Rechnungen liegen bei.', threadId: 't1' })
    await insertAttachment(db, ids.plain, {
      ordinal: 1,
      name: 'invoice.pdf',
      chunks: [Buffer.from('%PDF-\u001b'), Buffer.from([0, 255])],
    })
    ids.hostile = await insertMessage(db, {
      ...on,
      subject: ESCAPES,
      fromName: '\u001b[1mBoss\u202e',
      raw: RAW,
      chunkBytes: 7,
    })
    await settle(pool, ids.hostile, {
      text: `Guten Tag\r\n\u001b[2J${ESCAPES}\tEnde`,
      html: `<b>\u009b</b>`,
      threadId: 't1',
      words: 'Guten Tag, eine Rechnung',
    })
    await insertAttachment(db, ids.hostile, { ordinal: 1, name: '../../etc/passwd', chunks: [Buffer.from('x')] })
    await sql`insert into poststelle.delivery_reports (message_id, ordinal, action, recipient, status, diagnostic)
      values (${ids.hostile}, 1, 'failed', ${'c@example.test\u001b[2J'}, '5.1.1', ${'550 \u202eno such user'})`.execute(
      db,
    )
    ids.quarantined = await insertMessage(db, { ...on, subject: 'Tief', complete: false })
    await settle(pool, ids.quarantined, { quarantined: 'parts are nested deeper than 100\u001b[2J', text: null })
    ids.other = await insertMessage(db, { accountId: accounts[1]?.id ?? 0, subject: 'Angebot' })
    await settle(pool, ids.other, { text: 'An offer for invoices' })
    ids.large = await insertMessage(db, { ...on, subject: 'large', raw: LARGE })
    await settle(pool, ids.large, { text: null })
    ids.pending = await insertMessage(db, { ...on, subject: null, fromAddress: null })
  })
  afterAll(async () => {
    await house.close()
    removeFolder(folder)
  })

  const listed = async (...args: string[]): Promise<number[]> => {
    const { out, err, code } = await run(['inbox', 'list', '--json', ...args])
    expect({ err, code }).toEqual({ err: '', code: 0 })
    return (JSON.parse(out) as { messages: { id: number }[] }).messages.map(({ id }) => id)
  }

  test('an inbox without mail says how to get some', () => {
    expect(emptyList).toMatchObject({
      code: 0,
      out: 'no mail yet; "poststelle account poll ACCOUNT" looks for some now\n',
    })
  })

  test('the list is newest first, one line each, with what is special about a message', async () => {
    const { out } = await run(['inbox', 'list'])
    const lines = out.trimEnd().split('\n')
    expect(lines).toHaveLength(6)
    expect(lines[0]).toMatch(/ a@example\.test +\(no sender\) +not parsed yet +\(no subject\)$/)
    expect(lines.find((line) => line.includes('Tief'))).toMatch(/ quarantined, headers only +Tief$/)
    expect(lines.at(-1)).toMatch(/^\d+ +2026-01-02 03:04Z +a@example\.test +Anna +1 file +Bestellung 4711$/)
    expect(out.replaceAll('\n', '')).not.toMatch(DANGEROUS)
    expect(await listed()).toEqual(Object.values(ids).toSorted((a, b) => b - a))
  })

  test('pages follow each other without a gap or a repeat', async () => {
    const seen: number[] = []
    for (let after: number | null | undefined; after !== null;) {
      const { out } = await run([
        'inbox',
        'list',
        '--json',
        '--limit',
        '2',
        ...(after ? ['--after', String(after)] : []),
      ])
      const page = JSON.parse(out) as { messages: { id: number }[]; next_after: number | null }
      expect(page.messages.length).toBe(2)
      seen.push(...page.messages.map(({ id }) => id))
      after = page.next_after
    }
    expect(seen).toEqual(await listed())
    expect((await run(['inbox', 'list', '--limit', '2'])).out).toMatch(/\nolder ones: --after \d+\n$/)
  })

  test('what is asked for is what comes', async () => {
    const newest = await listed()
    const without = (...left: number[]) => newest.filter((id) => !left.includes(id))
    expect(await listed('--account', 'B@example.test')).toEqual([ids.other])
    expect(await listed('--account', String(accountId))).toEqual(without(ids.other))
    expect(await listed('--state', 'pending')).toEqual([ids.pending])
    expect(await listed('--state', 'quarantined')).toEqual([ids.quarantined])
    expect(await listed('--since', '7d')).toEqual(without(ids.plain))
    expect(await listed('--since', '2026-01-02T03:04:05Z')).toEqual(newest)
    expect(await listed('--since', '2026-01-02T04:04:06+01:00')).toEqual(without(ids.plain))
    expect(await run(['inbox', 'list', '--search', 'wort '.repeat(401)])).toMatchObject({
      code: 2,
      err: 'poststelle: --search: is longer than 2000 characters; fewer words find more\n',
    })
    expect((await run(['inbox', 'list', '--search', 'gibtesnicht'])).out).toBe('no message fits these options\n')
  })

  test('words are found in German, in English and as they stand; excluded ones are left out', async () => {
    expect(await listed('--search', 'rechnung')).toEqual([ids.hostile, ids.plain])
    expect(await listed('--search', 'rechnung -beiliegen')).toEqual([ids.hostile, ids.plain])
    expect(await listed('--search', 'rechnung -drei')).toEqual([ids.hostile])
    expect(await listed('--search', '"rechnungen liegen"')).toEqual([ids.plain])
    expect(await listed('--search', 'invoice')).toEqual([ids.other])
    expect(await listed('--search', 'offers or tag')).toEqual([ids.other, ids.hostile])
    expect(await listed('--search=-rechnung', '--account', 'b@example.test')).toEqual([ids.other])
  })

  test('one message is shown with all that is known, and nothing of it reaches the terminal as it is', async () => {
    const { out, code } = await run(['inbox', 'show', String(ids.hostile)], { isTTY: true })
    expect(code).toBe(0)
    expect(out).not.toMatch(DANGEROUS)
    expect(out).toMatch(/^subject +Rechnung \?\]0;owned\?\?\[2J\?31m photo\?gpj\.exe$/m)
    expect(out).toMatch(/^ +1 +1 B +application\/pdf +\.\.\/\.\.\/etc\/passwd$/m)
    expect(out).toMatch(/^ +failed +c@example\.test\?\[2J +5\.1\.1 .*550 \?no such user$/m)
    expect(out).toMatch(new RegExp(`^conversation\n +${ids.plain} `, 'm'))
    expect(out).toMatch(/\nGuten Tag\n\?\[2JRechnung .*\tEnde\n$/)
    const quarantined = await run(['inbox', 'show', String(ids.quarantined)])
    expect(quarantined.out).toMatch(/^state +quarantined: parts are nested deeper than 100\?\[2J; "inbox reparse"/m)
    expect(quarantined.out).toMatch(/^size .*headers only/m)
  })

  test('JSON has the same words, as escapes', async () => {
    const { out } = await run(['inbox', 'show', String(ids.hostile), '--json'])
    expect(out.trimEnd()).not.toMatch(DANGEROUS)
    expect(JSON.parse(out)).toMatchObject({
      id: ids.hostile,
      account: 'a@example.test',
      subject: ESCAPES,
      parse_state: 'parsed',
      body_html: '<b>\u009b</b>',
      attachments: [{ ordinal: 1, name: '../../etc/passwd', size_bytes: 1 }],
      delivery_reports: [{ action: 'failed', status: '5.1.1', outbound_message_id: null }],
      thread: [{ id: ids.plain, subject: 'Bestellung 4711' }],
    })
  })

  test('raw bytes and attachments go into a pipe or a file exactly as they are, and never to a terminal', async () => {
    const show = ['inbox', 'show', String(ids.hostile)]
    expect((await run([...show, '--raw'])).bytes.equals(RAW)).toBe(true)
    for (const part of [['--raw'], ['--attachment', '1']]) {
      const refused = await run([...show, ...part], { isTTY: true })
      expect(refused).toMatchObject({ code: 2, out: '', bytes: Buffer.alloc(0) })
      expect(refused.err).toMatch(/could do anything to a terminal; add --output FILE/)
    }
    const file = path('hostile.eml')
    expect((await run([...show, '--raw', '--output', file], { isTTY: true })).out).toContain(
      `${RAW.length} bytes in ${file}`,
    )
    expect(readFileSync(file).equals(RAW)).toBe(true)
    await run(['inbox', 'show', String(ids.plain), '--attachment', '1', '--output', path('invoice')])
    expect(readFileSync(path('invoice'))).toEqual(Buffer.concat([Buffer.from('%PDF-\u001b'), Buffer.from([0, 255])]))
    expect((await run(['inbox', 'show', String(ids.large), '--raw'])).bytes.equals(LARGE)).toBe(true)
  })

  test('text, HTML and headers are printed safely, and written as they are', async () => {
    const show = ['inbox', 'show', String(ids.hostile)]
    expect((await run([...show, '--headers'])).out).toBe('From: x\nSubject: ?[31m\n')
    expect((await run([...show, '--html'])).out).toBe('<b>?</b>\n')
    expect((await run([...show, '--text'])).out).toMatch(/^Guten Tag\n\?\[2J/)
    await run([...show, '--headers', '--output', path('headers')])
    expect(readFileSync(path('headers'), 'latin1')).toBe('From: x\r\nSubject: \u001b[31m\r\n')
  })

  test('an mbox file has every message, quoted, and brings each back', async () => {
    const file = path('all.mbox')
    const { out } = await run(['inbox', 'export', '--format', 'mbox', '--output', file, '--account', 'a@example.test'])
    expect(out).toBe(`5 messages in ${file}\n`)
    expect(existsSync(`${file}.part`)).toBe(false)
    const messages = readFileSync(file, 'latin1').split(/^From (?:anna@example\.test|MAILER-DAEMON) .{24}\n/m)
    expect(messages).toHaveLength(6)
    const unquoted = messages.map((text) => text.replace(/\n$/, '').replaceAll(/^>(>*From )/gm, '$1'))
    expect(unquoted[2]).toBe(`${RAW.toString('latin1').replaceAll('\r\n', '\n')}\n`)
    expect(unquoted[4]).toBe(LARGE.toString('latin1').replaceAll('\r\n', '\n'))
    const counted = execFileSync('python3', ['-c', 'import mailbox, sys; print(len(mailbox.mbox(sys.argv[1])))', file])
    expect(Number(counted.toString())).toBe(5)
  })

  test('an export tells a terminal how far it is, and takes that back at the end', async () => {
    const told = await run(['inbox', 'export', '--format', 'mbox', '--output', path('told.mbox')], { errIsTTY: true })
    expect(told.err).toMatch(/^(?:\r\d+ messages? \.\.\.)+\r\u001b\[K$/)
    expect(told.out).toBe(`6 messages in ${path('told.mbox')}\n`)
    const silent = await run(['inbox', 'export', '--format', 'mbox', '--output', path('silent.mbox')])
    expect(silent.err).toBe('')
  })

  test('eml files have the exact bytes, and names that nobody outside chose', async () => {
    const target = path('eml')
    const { out } = await run(['inbox', 'export', '--format', 'eml', '--output', target, '--json'])
    const sizeBytes = RAW.length + LARGE.length
    const result = JSON.parse(out) as { messages: number; bytes: number }
    expect(result).toMatchObject({ format: 'eml', output: target, messages: 6 })
    expect(result.bytes).toBeGreaterThan(sizeBytes)
    expect(readdirSync(target).toSorted()).toEqual(
      Object.values(ids)
        .map((id) => `${id}.eml`)
        .toSorted(),
    )
    expect(readFileSync(join(target, `${ids.hostile}.eml`)).equals(RAW)).toBe(true)
    expect(readFileSync(join(target, `${ids.large}.eml`)).equals(LARGE)).toBe(true)
  })

  test('nothing is ever overwritten, and what was interrupted is known by its name', async () => {
    const mine = path('mine')
    writeFileSync(mine, 'mine')
    for (const args of [
      ['export', '--format', 'mbox', '--output', mine],
      ['show', String(ids.plain), '--raw', '--output', mine],
    ])
      expect(await run(['inbox', ...args])).toMatchObject({
        code: 2,
        err: expect.stringContaining('is not overwritten'),
      })
    const half = path('half')
    mkdirSync(half)
    writeFileSync(join(half, `${ids.plain}.eml`), 'mine')
    expect(await run(['inbox', 'export', '--format', 'eml', '--output', half])).toMatchObject({ code: 2 })
    expect(readFileSync(mine, 'utf8') + readFileSync(join(half, `${ids.plain}.eml`), 'utf8')).toBe('minemine')
    writeFileSync(path('new.part'), 'half')
    const again = await run(['inbox', 'export', '--format', 'mbox', '--output', path('new')])
    expect(again).toMatchObject({
      code: 2,
      err: expect.stringMatching(/new\.part: another command writes it, or was interrupted/),
    })
    expect(existsSync(path('new'))).toBe(false)
    const nowhere = await run(['inbox', 'export', '--format', 'mbox', '--output', path('no/such/folder')])
    expect(nowhere).toMatchObject({ code: 1, err: expect.stringMatching(/cannot be written \(ENOENT\)\n$/) })
  })

  test('an export that lacks the bytes of a message says so and fails', async () => {
    const { db } = house.database
    const id = await insertMessage(db, { accountId, subject: 'lost' })
    await db.deleteFrom('message_bodies').where('message_id', '=', id).execute()
    const file = path('lost.mbox')
    const result = await run(['inbox', 'export', '--format', 'mbox', '--output', file, '--since', '1h'])
    expect(result).toMatchObject({ code: 1, out: '' })
    expect(result.err).toMatch(new RegExp(`^poststelle: 1 of 6 messages have no bytes here and are not in .*: ${id};`))
    expect(existsSync(file)).toBe(true)
    await db.deleteFrom('messages').where('id', '=', id).execute()
  })

  test('ack says what was acknowledged before, and does all or nothing', async () => {
    const some = [String(ids.plain), String(ids.hostile)]
    const missing = await run(['inbox', 'ack', ...some, '999999'])
    expect(missing).toMatchObject({
      code: 1,
      err: 'poststelle: 1 message not there: 999999; nothing was acknowledged\n',
    })
    expect((await run(['inbox', 'ack', String(ids.plain), '--json'])).out).toBe(
      `[{"id":${ids.plain},"acknowledged":true}]\n`,
    )
    expect((await run(['inbox', 'ack', ...some])).out).toBe(
      `message ${ids.plain}: had been acknowledged before\nmessage ${ids.hostile}: acknowledged\n`,
    )
    expect(await listed('--unacknowledged', '--account', String(accountId))).toEqual([
      ids.pending,
      ids.large,
      ids.quarantined,
    ])
    const upTo = ['inbox', 'ack', '--account', 'a@example.test', '--up-to']
    expect((await run([...upTo, '3'])).out).toBe('a@example.test: 1 message acknowledged, 2 had been before\n')
    expect((await run([...upTo, '999999999', '--json'])).out).toBe('{"acknowledged":1,"before":3}\n')
    expect(await listed('--unacknowledged')).toEqual([ids.pending, ids.other])
  })

  test('reparse queues a message again, forgets what was made of it, and makes its lane due', async () => {
    const { db, pool } = house.database
    expect((await run(['inbox', 'reparse', String(ids.hostile), '--raised-limits'])).out).toBe(
      `message ${ids.hostile} waits for parsing, with the raised limits\n`,
    )
    const lane = await db
      .selectFrom('lanes')
      .selectAll()
      .where('account_id', '=', accountId)
      .where('lane', '=', 'parse')
      .execute()
    expect(lane[0]?.due_at).toBeInstanceOf(Date)
    expect(await db.selectFrom('parse_queue').selectAll().where('message_id', '=', ids.hostile).execute()).toEqual([
      { message_id: ids.hostile, account_id: accountId, attempts: 0, raised_limits: true },
    ])
    expect((await run(['inbox', 'reparse', String(ids.hostile), '--json'])).out).toBe(
      `{"id":${ids.hostile},"raised_limits":false}\n`,
    )
    expect(JSON.parse((await run(['inbox', 'show', String(ids.hostile), '--json'])).out)).toMatchObject({
      parse_state: 'pending',
      position: null,
      attachments: [],
      delivery_reports: [],
    })
    expect(await settle(pool, ids.hostile)).toBeGreaterThan(5)
  })

  test.each([
    [['list', '--since', 'once'], 2, /It is a date such as 2026-11-23/],
    [['list', '--since', '2026-13-01'], 2, /It is a date/],
    [['list', '--limit', '0'], 2, /It is a whole number from 1/],
    [['list', '--state', 'lost'], 2, /--state/],
    [['list', '--search', ' '], 2, /--search: has no word in it/],
    [['list', '--account', 'nobody@example.test'], 1, /there is no account "nobody@example.test"/],
    [['show', 'x'], 2, /It is a whole number from 1/],
    [['show', '999999'], 1, /there is no message 999999; "poststelle inbox list"/],
    [['show', '1', '--raw', '--text'], 2, /cannot be used with/],
    [['show', '1', '--raw', '--json'], 2, /cannot be used with/],
    [['show', '1', '--output', 'x'], 2, /--output needs --raw/],
    [['show', '1', '--attachment', '9'], 1, /has the attachments 1 to 1, and none numbered 9/],
    [['show', '1', '--html'], 1, /message 1 has no HTML$/m],
    [['export', '--format', 'zip', '--output', 'x'], 2, /--format/],
    [['export', '--format', 'mbox'], 2, /--output/],
    [['ack'], 2, /either ids of messages, or --up-to with --account/],
    [['ack', '1', '--up-to', '5', '--account', '1'], 2, /either ids/],
    [['ack', '--up-to', '5'], 2, /either ids/],
    [['ack', '\u001b[2J'], 2, /"\?\[2J" is not the id of a message/],
    [['reparse', '999999'], 1, /there is no message 999999/],
  ])('inbox %j: one clear sentence and the right exit code', async (args, code, sentence) => {
    const result = await run(['inbox', ...args])
    expect(result.err).toMatch(sentence)
    expect(result).toMatchObject({ code, out: '' })
  })
})
