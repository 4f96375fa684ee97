// Bodies that have ended a message early, or that were changed on the way: what arrives is what was given, line ends aside.

import { simpleParser } from 'mailparser'
import { expect } from 'vitest'
import { submitMessage, submitParts } from '../../../src/db/submissions.ts'
import { drainLane } from '../../../src/delivery/drain-lane.ts'
import { row } from '../../support/figures.ts'
import { openHouse } from '../../support/house.ts'
import { startMailWorld } from '../../support/mail-world.ts'
import { SENDER, withOutgoing } from '../../support/outgoing.ts'

const SECOND = `MAIL FROM:<evil@evil.test>\r\nRCPT TO:<evil@evil.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n`
const ENDS = [
  '\r\n.\r\n',
  '\n.\n',
  '\n.\r\n',
  '\r\n.\n',
  '\r.\r',
  '\r.\r\n',
  '\r\n.\r',
  '\r.\n',
  '\n\r.\n\r',
  '\r\r\n.\r\r\n',
]

const BODIES: readonly Buffer[] = [
  ...ENDS.flatMap((end) => [`before${end}after`, `${end}after`, `before${end}`, `before${end}${SECOND}${end}QUIT\r\n`]),
  '',
  '.',
  '..',
  '.\n',
  '.\r\n.\r\n.\r\n',
  '..dots\r\n...dots\r\n....\r\n',
  'a\nb\nc',
  'a\rb\rc',
  'a\n\rb\n\r',
  '\n\n\n',
  '\r\r\r',
  '\xff\xfe\x80\xe4\xf6\xfc\r\n\x85\xa0',
  Array.from({ length: 255 }, (_, i) => String.fromCharCode(i + 1)).join(''),
  'x'.repeat(998),
  'x'.repeat(999),
  'x'.repeat(1_000),
  `${'x'.repeat(997)}.\r\n.${'y'.repeat(5_000)}\r\n.\r\nz`,
  `${'\xfc'.repeat(100_000)}\r\n.`,
  '\r\n.'.repeat(50_000),
  `${'x'.repeat(65_535)}\r\n.\r\n${'y'.repeat(65_533)}\r\n.\r\n`,
  `${'x'.repeat(262_143 - 200)}\r\n.\r\n`.repeat(2),
].map((text) => Buffer.from(text, 'latin1'))

const head = (n: number, from: string): string =>
  `From: ${from}\r\nTo: kunde@example.test\r\nSubject: ${n}\r\nMessage-ID: <body-${n}@out.example.test>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\n`
const message = (n: number, from: string): Buffer =>
  Buffer.concat([Buffer.from(head(n, from)), BODIES[n] ?? Buffer.alloc(0)])
const subjectOf = (bytes: Buffer): string | undefined => /^Subject: (.*)\r$/m.exec(bytes.toString('latin1'))?.[1]
/** Every line end is CRLF, and the last line has one. */
const canonical = (bytes: Buffer): string => {
  const text = bytes.toString('latin1').replaceAll(/\r\n|\r|\n/g, '\r\n')
  return text.endsWith('\r\n') ? text : `${text}\r\n`
}

row('C22', 'a body arrives as it was given, and ends no message early', { fast: true }, async () =>
  withOutgoing({}, async ({ raw, drain, server }) => {
    for (const n of BODIES.keys()) await raw(message(n, SENDER))
    await drain()
    const { messages, commands } = server.seen
    expect(messages.length).toBe(BODIES.length)
    const arrived = new Set(messages.map(({ bytes }) => bytes.toString('latin1')))
    const changed = BODIES.filter((_, n) => !arrived.has(canonical(message(n, SENDER))))
    expect(changed.map((body) => body.toString('latin1').slice(0, 80))).toEqual([])
    expect(commands.filter((line) => /evil/.test(line))).toEqual([])
    await expect(raw(Buffer.from('Subject: x\r\n\r\na\0b'))).rejects.toThrow(/NUL/)
    return `messages at the server ${messages.length} of ${BODIES.length} sent; bytes changed 0; NUL refused`
  }),
)

row('C22', 'a text given in parts is read as it was written', { fast: true }, async () =>
  withOutgoing({}, async ({ parts, drain, server }) => {
    const texts = BODIES.map((body) => body.toString('latin1')).filter((text) => text.trim() !== '')
    for (const [n, text] of texts.entries())
      await parts({
        from: SENDER,
        to: ['kunde@example.test'],
        subject: String(n),
        text,
        attachments: [{ content: Buffer.from(text, 'latin1').toString('base64') }],
      })
    await drain()
    const { messages, commands } = server.seen
    expect(messages.length).toBe(texts.length)
    expect(new Set(messages.map(({ bytes }) => subjectOf(bytes))).size).toBe(texts.length)
    for (const { bytes } of messages) {
      const parsed = await simpleParser(bytes)
      const wanted = texts[Number(parsed.subject)] ?? ''
      expect(parsed.attachments[0]?.content.equals(Buffer.from(wanted, 'latin1'))).toBe(true)
      expect((parsed.text ?? '').replace(/\n$/, '')).toBe(wanted.replaceAll(/\r\n|\r/g, '\n').replace(/\n$/, ''))
      expect(
        bytes
          .toString('latin1')
          .split('\r\n')
          .filter((line) => line.length > 998),
      ).toEqual([])
    }
    expect(commands.filter((line) => /evil/.test(line))).toEqual([])
    return `${messages.length} of ${texts.length} texts and attachments equal`
  }),
)

row(
  'C22',
  'through Postfix as many messages arrive as were sent, and their bytes are the same',
  { fast: true },
  async () => {
    const world = await startMailWorld({
      oauthAccounts: 0,
      passwordAccounts: 1,
      // by default Postfix folds what is longer than 998 on its way out; here it is asked what it was given
      postfix: { settings: 'smtp_line_length_limit = 0\nline_length_limit = 300000' },
    })
    const house = await openHouse({ caPem: world.pki.ca })
    try {
      const [account] = await house.importAccounts([...world.accounts])
      const [from = ''] = world.emails
      for (const n of BODIES.keys())
        await submitMessage(house.db, {
          account: from,
          envelopeFrom: from,
          recipients: ['kunde@example.test'],
          raw: message(n, from),
          idempotencyKey: null,
        })
      const text = BODIES.map((body) => body.toString('latin1')).join('\n')
      await submitParts(house.db, {
        account: from,
        parts: { from, to: ['kunde@example.test'], text },
        idempotencyKey: null,
        sendAfter: null,
        priority: 0,
      })
      const id = account?.id ?? 0
      await drainLane(house, await house.lease(id, 'send'), AbortSignal.timeout(120_000))
      const sent = BODIES.length + 1
      await expect.poll(() => world.postfix.delivered().length, { timeout: 60_000 }).toBeGreaterThanOrEqual(sent)
      const delivered = world.postfix.delivered()
      expect(delivered.length).toBe(sent)
      expect(delivered.flatMap(({ recipients }) => recipients).filter((to) => to !== 'kunde@example.test')).toEqual([])
      const byId = new Map(delivered.map((one) => [one.messageId, one.raw.toString('latin1')]))
      const changed = [...BODIES.keys()].filter(
        (n) => byId.get(`<body-${n}@out.example.test>`)?.endsWith(canonical(message(n, from))) !== true,
      )
      expect(changed.map((n) => BODIES[n]?.toString('latin1').slice(0, 80))).toEqual([])
      return `messages at the sink ${delivered.length} of ${sent} sent; bytes changed 0`
    } finally {
      await house.close()
      await world.stop()
    }
  },
)
