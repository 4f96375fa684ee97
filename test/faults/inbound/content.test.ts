// Rows E and A25 of the fault matrix: what a message may do to whoever reads it. Bombs end their thread at most; the loop of the
// process goes on, and every message stays stored as it came.

import { createHash, randomInt } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest'
import { LIMITS } from '../../../src/message/limits.ts'
import { ParsePool } from '../../../src/message/parse-pool.ts'
import type { ParseOutcome } from '../../../src/message/parse-thread.ts'
import { summarise } from '../../../src/message/summary.ts'
import { parseLane } from '../../../src/retrieval/parse-lane.ts'
import { dsnCorpus } from '../../support/dsn-corpus.ts'
import { row, sized } from '../../support/figures.ts'
import { bytesOf, largeFile, matryoshka, nested, repeated, siblings } from '../../support/hostile-mail.ts'
import { openHouse, passwordAccount, type TestHouse } from '../../support/house.ts'
import { mimeCorpus, type CorpusMail } from '../../support/mime-corpus.ts'
import { fuzzedMail } from '../../support/mime-fuzz.ts'
import { storeMail } from '../../support/stored-mail.ts'
import { mulberry32 } from '../../support/random.ts'

interface Measured {
  readonly outcome: ParseOutcome
  readonly ms: number
  readonly heldMs: number
  readonly rssMb: number
  readonly bytes: number
}

/** How long the loop may be held in one go: by its own work, and not by what else the machine does. */
const MOST_HELD_MS = 50

async function measure(pool: ParsePool, source: AsyncIterable<Buffer>): Promise<Measured> {
  const before = process.memoryUsage.rss()
  let most = before
  let bytes = 0
  let used = process.threadCpuUsage()
  let heldMs = 0
  const look = () => {
    const { user, system } = process.threadCpuUsage(used)
    used = process.threadCpuUsage()
    heldMs = Math.max(heldMs, (user + system) / 1000)
    most = Math.max(most, process.memoryUsage.rss())
  }
  const looking = setInterval(look, 5)
  const started = performance.now()
  const outcome = await pool.parse({
    source,
    write: async (_, piece) => {
      bytes += piece.length
    },
  })
  const ms = Math.round(performance.now() - started)
  clearInterval(looking)
  look()
  expect(heldMs).toBeLessThan(MOST_HELD_MS)
  return { outcome, ms, heldMs: Math.round(heldMs), rssMb: Math.round((most - before) / 1e6), bytes }
}

const figure = (name: string, { ms, heldMs, rssMb }: Measured): string =>
  `${name}: ${ms} ms, loop held for ${heldMs} ms, RSS +${rssMb} MB`

describe('hostile messages in a thread', () => {
  let pool: ParsePool
  beforeAll(() => {
    pool = new ParsePool({ threads: 2 })
  })
  afterAll(async () => {
    await pool.close()
  })

  /** Every one must end in time, and as `state` says. */
  async function bombs(
    all: readonly (readonly [string, AsyncIterable<Buffer>, ParseOutcome['state']])[],
  ): Promise<string> {
    const figures: string[] = []
    for (const [name, source, state] of all) {
      const measured = await measure(pool, source)
      expect(measured.outcome.state, name).toBe(state)
      expect(measured.ms, name).toBeLessThan(LIMITS.deadlineMs)
      figures.push(figure(name, measured))
    }
    return figures.join('; ')
  }

  row(
    'E1',
    'as many sibling parts as fit are refused at once',
    { fast: true },
    async () =>
      await bombs([
        ['50k parts', siblings(50_000), 'refused'],
        [`${sized(100, 1_000)}k parts`, siblings(sized(100_000, 1_000_000)), 'refused'],
        ['900 parts', siblings(900), 'parsed'],
      ]),
  )

  row(
    'E2',
    'parts nested without end are refused, messages within messages stay files',
    { fast: true },
    async () =>
      await bombs([
        ['5,000 levels', bytesOf(nested(5_000)), 'refused'],
        ['31 levels', bytesOf(nested(32)), 'refused'],
        ['29 levels', bytesOf(nested(29)), 'parsed'],
        ['5,000 messages in messages', bytesOf(matryoshka(5_000)), 'parsed'],
      ]),
  )

  row(
    'E3',
    'header blocks without end are refused',
    { fast: true },
    async () =>
      await bombs([
        ['100k fields', repeated('', 'X-A: b\r\n', 100_000, '\r\nx'), 'refused'],
        ['a field of 10 MB', repeated('X-A: ', 'b', 10_000_000, '\r\n\r\nx'), 'refused'],
        ['a field of 1M folds', repeated('X-A: b\r\n', ' c\r\n', 1_000_000, '\r\nx'), 'refused'],
        ['200 kB of parameters', repeated('Content-Type: text/plain', '; a=b', 40_000, '\r\n\r\nx'), 'parsed'],
        ['200 kB of continuations', repeated('Content-Type: text/plain', '; a*1*=%41', 20_000, '\r\n\r\nx'), 'parsed'],
        ['200 kB of encoded words', repeated('Subject: ', '=?utf-8?q?a?= ', 14_000, '\r\n\r\nx'), 'parsed'],
      ]),
  )

  row(
    'E4',
    'address lists without end are refused, whatever they are made of',
    { fast: true },
    async () =>
      await bombs([
        ['130k addresses', repeated('To: ', 'a@b.de, ', 130_000, '\r\n\r\nx'), 'refused'],
        ['20k addresses', repeated('To: ', 'a@b.de, ', 20_000, '\r\n\r\nx'), 'refused'],
        ['4,900 addresses', repeated('To: ', 'a@b.de, ', 4_900, 'c@d\r\n\r\nx'), 'parsed'],
        ['comments in a row', repeated('To: ', '(a)', 60_000, '\r\n\r\nx'), 'refused'],
        ['comments in comments', repeated('To: ', '(', 200_000, '\r\n\r\nx'), 'refused'],
        ['groups', repeated('To: ', 'g: a@b;', 30_000, '\r\n\r\nx'), 'refused'],
        ['brackets', repeated('To: ', '<', 200_000, '\r\n\r\nx'), 'parsed'],
        ['quotes', repeated('To: ', '"a" ', 50_000, '\r\n\r\nx'), 'parsed'],
      ]),
  )

  row(
    'E5',
    'a file of 62 MB goes through in bounded memory; junk and cut ends are read as far as they go',
    { fast: true },
    async () => {
      const size = sized(20_000_000, 62_000_000)
      const large = await measure(pool, largeFile(size))
      expect(large.outcome.state).toBe('parsed')
      expect(large.bytes).toBeGreaterThanOrEqual(size)
      expect(large.rssMb).toBeLessThan(200)
      const text = await measure(
        pool,
        repeated('Content-Type: text/plain\r\n\r\n', `${'x'.repeat(76)}\r\n`, Math.ceil(size / 78)),
      )
      expect(text.outcome).toMatchObject({
        state: 'parsed',
        message: { notes: [expect.stringContaining('was cut off')] },
      })
      expect(text.rssMb).toBeLessThan(200)
      const junk = await measure(
        pool,
        repeated(
          'Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n',
          '!?*\u00ff\r\n',
          200_000,
        ),
      )
      expect(junk.outcome.state).toBe('parsed')
      return `${figure(`file of ${size / 1e6} MB`, large)}; ${figure('text of that size', text)}; ${figure('1 MB of junk', junk)}`
    },
  )

  row('E8', 'texts that are made for our patterns are read in time', { fast: true }, async () => {
    const html = (unit: string, count: number): AsyncGenerator<Buffer> =>
      repeated('Content-Type: text/html\r\n\r\n', unit, count)
    return await bombs([
      ['<b> x 300k', html('<b>', 300_000), 'parsed'],
      ['<script> x 150k', html('<script>', 150_000), 'parsed'],
      ['<style x 150k', html('<style ', 150_000), 'parsed'],
      ['< x 1M', html('<', 1_000_000), 'parsed'],
      ['<!-- x 300k', html('<!--', 300_000), 'parsed'],
      ['& x 1M', html('&', 1_000_000), 'parsed'],
      ['</td> and blanks x 300k', html('</td> ', 300_000), 'parsed'],
      ['<br> and blanks x 300k', html(' <br> ', 300_000), 'parsed'],
      ['a( x 100k in a type', repeated('Content-Type: a/b', ';a(', 80_000, ')\r\n\r\nx'), 'parsed'],
      ['blanks and tabs x 1M', html(' \t', 1_000_000), 'parsed'],
      ['flowed x 500k', repeated('Content-Type: text/plain; format=flowed\r\n\r\n', 'a \r\n', 500_000), 'parsed'],
      ['=? x 100k in a subject', repeated('Subject: ', '=?', 100_000, '\r\n\r\nx'), 'parsed'],
    ])
  })

  row('E14', 'messages out of a grammar, broken at random, are parsed or refused', { fast: true }, async () => {
    const seed = Number(process.env['FAULTS_SEED'] ?? randomInt(2 ** 31))
    const random = mulberry32(seed)
    const count = sized(300, 20_000)
    const states = { parsed: 0, refused: 0, broken: 0 }
    const started = performance.now()
    for (let i = 0; i < count; i++) {
      const raw = fuzzedMail(random)
      const outcome = await pool.parse({ source: bytesOf(raw), write: async () => undefined })
      states[outcome.state] += 1
      expect(outcome.state, `seed ${seed}, message ${i}`).not.toBe('broken')
      const message = outcome.state === 'parsed' ? outcome.message : undefined
      for (const { name } of message?.attachments ?? []) expect(name, `seed ${seed}, message ${i}`).toMatch(SAFE)
      expect(message?.bodyText?.isWellFormed() ?? true, `seed ${seed}, message ${i}`).toBe(true)
      expect(message?.bodyText?.includes('\0') ?? false, `seed ${seed}, message ${i}`).toBe(false)
    }
    return `${count} messages, seed ${seed}: parsed ${states.parsed}, refused ${states.refused}, broken ${states.broken}, ${Math.round(performance.now() - started)} ms`
  })
})

const SAFE = /^(?!\.{1,2}$)[^/\\:*?"<>|\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]{1,200}$/u

describe('what is stored of odd messages', () => {
  let house: TestHouse
  let accountId: number
  beforeAll(async () => {
    house = await openHouse({ parsePool: new ParsePool({ threads: 2, limits: { ...LIMITS, deadlineMs: 400 } }) })
    const [account] = await house.importAccounts([passwordAccount('a@example.test')])
    accountId = account?.id ?? 0
  })
  afterAll(async () => {
    await house.close()
  })
  afterEach(async () => {
    await sql`delete from poststelle.messages`.execute(house.db)
  })

  const drain = async (): Promise<number> => {
    const started = performance.now()
    await parseLane(house, await house.lease(accountId, 'parse'), new AbortController().signal)
    return Math.round(performance.now() - started)
  }
  const states = async (): Promise<Record<string, number>> => {
    const { rows } = await sql<{ parse_state: string; n: number }>`
      select parse_state, count(*) as n from poststelle.inbox group by parse_state`.execute(house.db)
    return Object.fromEntries(rows.map((row) => [row.parse_state, row.n]))
  }
  /** Every raw message is as it came. */
  const rawKept = async (ids: readonly number[], raws: readonly Buffer[]): Promise<void> => {
    const { rows } = await sql<{ id: number; sha: string }>`
      select id, encode(sha256(coalesce(poststelle.raw_message(id), '')), 'hex') as sha from poststelle.messages`.execute(
      house.db,
    )
    const kept = new Map(rows.map((row) => [row.id, row.sha]))
    expect(ids.map((id) => kept.get(id))).toEqual(raws.map((raw) => createHash('sha256').update(raw).digest('hex')))
  }
  const storeAll = async (mails: readonly CorpusMail[]): Promise<string> => {
    const raws = mails.map(({ raw }) => raw)
    const ids = await storeMail(house.db, accountId, raws)
    const ms = await drain()
    await rawKept(ids, raws)
    expect(await states()).toEqual({ parsed: mails.length })
    return `${mails.length} of ${mails.length} stored and parsed, crashes 0, ${ms} ms`
  }

  row('A25b', 'a poison message at position 1 of 100 holds nobody up', { fast: true }, async () => {
    const good = Array.from({ length: 99 }, (_, i) => Buffer.from(`Subject: Nr. ${i}\r\n\r\nText ${i}\r\n`))
    const poison: Buffer[] = []
    // a line is work, however short: seconds of it
    for await (const piece of repeated('Content-Type: application/pdf; name=a.pdf\r\n\r\n', '\n', 25_000_000))
      poison.push(piece)
    const raws = [Buffer.concat(poison), ...good]
    const ids = await storeMail(house.db, accountId, raws)
    const ms = await drain()
    await rawKept(ids, raws)
    expect(await states()).toEqual({ parsed: 99, quarantined: 1 })
    const { rows } = await sql<{ id: number; parse_reason: string; behind: number }>`
      select q.id, q.parse_reason, (select count(*) from poststelle.inbox i where i.position < q.position) as behind
      from poststelle.inbox q where q.parse_state = 'quarantined'`.execute(house.db)
    expect(rows).toEqual([
      expect.objectContaining({ id: ids[0], parse_reason: 'the parser needed more than 0.4 s for it', behind: 99 }),
    ])
    return `the other 99 parsed within ${ms} ms, quarantined 1`
  })

  row(
    'E6',
    'text in every charset, broken words, overlong UTF-8: all of it is stored',
    { fast: true },
    async () => await storeAll(mimeCorpus()),
  )

  row('E12', 'file names that attack come out as one harmless segment', { fast: true }, async () => {
    const mails = mimeCorpus().filter(({ name }) => name.startsWith('file name:'))
    const figures = await storeAll(mails)
    const { rows } = await sql<{ name: string }>`select name from poststelle.inbox_attachments`.execute(house.db)
    const escapes = rows.filter(({ name }) => !SAFE.test(name))
    expect(escapes).toEqual([])
    expect(rows.length).toBeGreaterThanOrEqual(mails.length)
    return `${figures}; path escapes 0 of ${rows.length}`
  })

  row('E13', 'odd dates, no sender or two, nothing at all: stored, and in an order', { fast: true }, async () => {
    const odd = ['date', 'From', 'nothing', 'only', 'header and no more', 'mbox']
    const mails = mimeCorpus().filter(({ name }) => odd.some((word) => name.includes(word)))
    const figures = await storeAll(mails)
    const { rows } = await sql<{ id: number; subject: string | null }>`
      select id, subject from poststelle.inbox order by date_at desc nulls last, id desc`.execute(house.db)
    expect(rows).toHaveLength(mails.length)
    const years = mails.map(({ raw }) => summarise(raw).dateAt?.getUTCFullYear() ?? 2_000)
    expect(years.every((year) => year >= 1_970 && year <= 2_099)).toBe(true)
    return figures
  })

  row('E15', 'automatic replies and bounces are recognised, and nothing is sent', { fast: true }, async () => {
    const replies = mimeCorpus().filter(({ expected }) => expected.kind !== undefined)
    const reports = dsnCorpus().map(({ name, raw }) => ({ name, raw, expected: { kind: 'delivery_report' } }))
    const mails = [...replies, ...reports]
    const ids = await storeMail(
      house.db,
      accountId,
      mails.map(({ raw }) => raw),
    )
    await drain()
    const { rows } = await sql<{ id: number; kind: string }>`select id, kind from poststelle.inbox`.execute(house.db)
    const kinds = new Map(rows.map((each) => [each.id, each.kind]))
    const wrong = mails.filter(({ expected }, i) => kinds.get(ids[i] ?? 0) !== expected.kind)
    expect(wrong.map(({ name }) => name)).toEqual([])
    const sent = await sql<{ n: number }>`select count(*) as n from poststelle.outbound_messages`.execute(house.db)
    expect(sent.rows).toEqual([{ n: 0 }])
    return `${mails.length} of ${mails.length} recognised, our replies 0`
  })

  row('C24', 'delivery reports in 64 shapes are matched with the mail they speak of', { fast: true }, async () => {
    const reports = dsnCorpus()
    await storeMail(
      house.db,
      accountId,
      reports.map(({ raw }) => raw),
    )
    await drain()
    const { rows } = await sql<{ subject: string; recipient: string; status: string | null }>`
      select r.recipient, r.status from poststelle.delivery_reports r order by r.message_id, r.ordinal`.execute(
      house.db,
    )
    const expected = reports.flatMap((report) => report.reports.map(({ recipient, status }) => ({ recipient, status })))
    expect(rows).toEqual(expected)
    return `match rate ${reports.length} of ${reports.length} shapes, ${expected.length} recipients`
  })
})
