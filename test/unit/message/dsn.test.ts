import { describe, expect, test } from 'vitest'
import { LIMITS } from '../../../src/message/limits.ts'
import { parseMessage, type ParsedMessage } from '../../../src/message/parse.ts'
import { dsnCorpus } from '../../support/dsn-corpus.ts'
import { LOOKALIKES } from '../../support/dsn-prose.ts'

async function* once(raw: Buffer): AsyncGenerator<Buffer> {
  yield Buffer.from(raw)
}
const read = async (raw: Buffer | string): Promise<ParsedMessage> =>
  await parseMessage(once(Buffer.from(raw)), async () => undefined, LIMITS)

const corpus = dsnCorpus()

describe(`delivery reports in ${corpus.length} shapes`, () => {
  test('are enough', () => {
    expect(corpus.length).toBeGreaterThanOrEqual(60)
  })

  test.each(corpus)('$name', async ({ raw, reports, originalMessageId }) => {
    const message = await read(raw)
    expect(message.kind).toBe('delivery_report')
    expect(message.reports.map(({ recipient, status }) => ({ recipient, status }))).toEqual(
      reports.map(({ recipient, status }) => ({ recipient, status })),
    )
    for (const [i, { action, diagnostic }] of reports.entries()) {
      expect(message.reports[i]).toMatchObject({ originalMessageId, ...(action && { action }) })
      expect(message.reports[i]?.diagnostic ?? '').toMatch(diagnostic ?? /^/)
    }
  })
})

describe('what only looks like a delivery report is mail:', () => {
  test.each(LOOKALIKES)('%s', async (_, raw) => {
    const message = await read(raw.replaceAll('\n', '\r\n'))
    expect(message.kind).not.toBe('delivery_report')
    expect(message.reports).toEqual([])
  })
})

describe('a hostile report', () => {
  test('of a hundred thousand groups takes no time and makes a bounded number of rows', async () => {
    const groups = 'Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\n\r\n'.repeat(100_000)
    const started = performance.now()
    const message = await read(
      `Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n${groups}--b--\r\n`,
    )
    expect(message.reports.length).toBeLessThanOrEqual(1_000)
    expect(performance.now() - started).toBeLessThan(2_000)
  })

  test.each([
    ['brackets', '<'.repeat(200_000)],
    ['at signs', '@'.repeat(200_000)],
    ['addresses without an end', 'a@'.repeat(100_000)],
    ['quotes', `'a@b' on `.repeat(20_000)],
    ['blanks', ' '.repeat(200_000)],
    ['codes', '550 '.repeat(50_000)],
    ['words', 'your message to '.repeat(20_000)],
    ['lines', '<a@b.example>:\r\n'.repeat(20_000)],
  ])('of %s takes no time', async (_, text) => {
    const started = performance.now()
    await read(`From: MAILER-DAEMON@x\r\nSubject: failure notice\r\nX-Failed-Recipients: a@b.example\r\n\r\n${text}`)
    expect(performance.now() - started).toBeLessThan(2_000)
  })
})
