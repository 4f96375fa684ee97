import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { Failure, UserError } from '../../../src/base/failure.ts'
import { AddressError } from '../../../src/smtp/envelope.ts'
import type { Answer } from '../../support/scripted-smtp.ts'
import { body, ENVELOPE, open, PASSWORD, plain, rejection, TEXT, xoauth2 } from './loopback.ts'

const verbs = (commands: readonly string[]): string[] => commands.map((line) => /^[A-Z.]+/.exec(line)?.[0] ?? line)

/** Evidence is shown in one line. */
const oneLine = (reply: string): string => reply.replaceAll('\r\n', ' ')

test.each([
  ['none', PASSWORD],
  ['starttls', xoauth2()],
  ['tls', xoauth2('x'.repeat(2_000))],
] as const)('a message is handed over (%s)', async (security, login) => {
  const { server, session } = await open({
    security,
    answer: (c) => (c === '.' ? '250-2.0.0 ok\r\n250 2.0.0 queued as 7' : undefined),
  })
  await session.login(login)
  const handOver = await session.send(ENVELOPE, body(TEXT), plain())
  expect(handOver).toEqual({
    reply: '250-2.0.0 ok\r\n250 2.0.0 queued as 7',
    recipients: [
      { address: 'anna@example.test', accepted: true, reply: '250 2.0.0 ok', code: 250, enhancedCode: '2.0.0' },
    ],
  })
  expect(server.seen.messages).toEqual([{ ...ENVELOPE, bytes: Buffer.from(TEXT) }])
  expect(session.phase).toBe('done')
  expect(session.usable).toBe(true)
})

test.each([
  ['dots', '.\r\n..\r\n.a\r\n\r\n.\r\n'],
  ['a dot at the very start and end', '.\r\n.'],
  ['the end of a message inside the message', 'a\r\n.\r\nMAIL FROM:<eve@evil.test>\r\n'],
  [
    '8-bit octets and NUL',
    Array.from({ length: 256 }, (_, octet) => String.fromCharCode(octet))
      .join('')
      .replace(/[\r\n]/g, ''),
  ],
  ['a line of 100,000 octets', `${'x'.repeat(100_000)}\r\n.`],
  ['empty lines', '\r\n\r\n\r\n'],
  ['nothing at all', ''],
])('bytes arrive as they were given: %s', async (_name, text) => {
  for (const size of [1, 2, 3, 1_000_000].filter((size) => text.length / size < 2_000)) {
    const chunks = text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []
    const { server, session } = await open({ security: 'tls' })
    await session.send(ENVELOPE, body(...chunks), plain({ sizeBytes: text.length }))
    const expected = text === '' || text.endsWith('\r\n') ? text : `${text}\r\n`
    expect(server.seen.messages.map(({ bytes }) => bytes.equals(Buffer.from(expected, 'latin1')))).toEqual([true])
    session.close()
  }
})

test('a bare line feed stops the message before its end, as the fault of the message', async () => {
  const { server, session } = await open()
  const failure = await rejection(session.send(ENVELOPE, body('a\r\n', '\n.\r\nRSET\r\n'), plain()))
  expect(failure).toMatchObject({
    flag: 'message_malformed',
    step: 'data',
    verdict: { scope: 'message', persistence: 'permanent' },
  })
  await server.waitFor(() => server.seen.open === 0)
  expect(server.seen.messages).toEqual([])
})

test('30 MB go through without being collected: the source is asked only as fast as the server reads', async () => {
  const { server, session } = await open({ security: 'tls' })
  const hash = createHash('sha256')
  let produced = 0
  let furthestAhead = 0
  async function* thirtyMegabytes() {
    const chunk = Buffer.from(`.${'z'.repeat(1_020)}\xff\r\n`.repeat(256), 'latin1')
    while (produced < 30_000_000) {
      hash.update(chunk)
      produced += chunk.length
      furthestAhead = Math.max(furthestAhead, produced - server.seen.bodyBytes)
      yield chunk
    }
  }
  await session.send(ENVELOPE, thirtyMegabytes(), plain({ sizeBytes: 30_000_000 }))
  const received = createHash('sha256').update(server.seen.messages[0]?.bytes ?? '')
  expect(received.digest('hex')).toBe(hash.digest('hex'))
  expect(furthestAhead).toBeLessThan(8_000_000)
})

test('refused recipients are told one by one, and the others get the message', async () => {
  const { server, session } = await open({
    answer: (c) =>
      c.includes('gone@')
        ? '550-5.1.1 no such\r\n550 5.1.1 user'
        : c.includes('grey@')
          ? '451 4.7.1 greylisted'
          : undefined,
  })
  const recipients = ['gone@example.test', 'anna@example.test', 'grey@example.test', 'bert@example.test']
  const handOver = await session.send({ ...ENVELOPE, recipients }, body(TEXT), plain())
  expect(
    handOver.recipients.map(({ address, accepted, code, enhancedCode }) => [address, accepted, code, enhancedCode]),
  ).toEqual([
    ['gone@example.test', false, 550, '5.1.1'],
    ['anna@example.test', true, 250, '2.0.0'],
    ['grey@example.test', false, 451, '4.7.1'],
    ['bert@example.test', true, 250, '2.0.0'],
  ])
  expect(handOver.recipients[0]).toMatchObject({
    reply: '550-5.1.1 no such\r\n550 5.1.1 user',
    failure: { name: 'Failure', stage: 'smtp', step: 'rcpt' },
  })
  expect(handOver.recipients[1]?.failure).toBeUndefined()
  expect(server.seen.messages[0]?.recipients).toEqual(['anna@example.test', 'bert@example.test'])
})

test('the same recipient given twice keeps both answers in their places', async () => {
  let asked = 0
  const { session } = await open({
    answer: (c) => (c.startsWith('RCPT') && (asked += 1) === 2 ? '452 4.5.3 too many' : undefined),
  })
  const recipients = ['anna@example.test', 'anna@example.test']
  const handOver = await session.send({ ...ENVELOPE, recipients }, body(TEXT), plain())
  expect(handOver.recipients.map(({ accepted }) => accepted)).toEqual([true, false])
})

test('when every recipient is refused there is no DATA, and the connection serves the next message', async () => {
  const { server, session } = await open({
    answer: (c) => (c.includes('gone@') ? '550 5.1.1 no such user' : undefined),
  })
  const refused = await session.send({ ...ENVELOPE, recipients: ['gone@example.test'] }, body(TEXT), plain())
  expect(refused).toMatchObject({ reply: '', recipients: [{ accepted: false, failure: { step: 'rcpt' } }] })
  expect(session.phase).toBe('rcpt')
  await session.send(ENVELOPE, body(TEXT), plain())
  expect(verbs(server.seen.commands)).toEqual(['EHLO', 'MAIL', 'RCPT', 'RSET', 'MAIL', 'RCPT', 'DATA'])
})

test.each([
  ['MAIL FROM:', '550 5.7.60 SMTP; Client does not have permissions to send as this sender', 'mail', ['MAIL']],
  ['DATA', '451 4.3.2 not now', 'data', ['MAIL', 'RCPT', 'DATA', 'RSET']],
  ['.', '554-5.2.0 no\r\n554 5.2.0 really', 'dot', ['MAIL', 'RCPT', 'DATA']],
  ['.', '452 4.3.1 Insufficient system resources', 'dot', ['MAIL', 'RCPT', 'DATA']],
])(
  'a refusal at %s is a Failure with the whole reply, and the connection stays usable',
  async (at, reply, step, before) => {
    let refusing = true
    const { server, session } = await open({ answer: (c) => (refusing && c.startsWith(at) ? reply : undefined) })
    expect(await rejection(session.send(ENVELOPE, body(TEXT), plain()))).toMatchObject({
      name: 'Failure',
      step,
      evidence: oneLine(reply),
    })
    expect(session.usable).toBe(true)
    refusing = false
    await session.send(ENVELOPE, body(TEXT), plain())
    expect(verbs(server.seen.commands)).toEqual(['EHLO', ...before, 'MAIL', 'RCPT', 'DATA'])
  },
)

test.each([
  ['MAIL FROM:', 'mail'],
  ['RCPT TO:<bert', 'rcpt'],
  ['DATA', 'data'],
  ['.', 'dot'],
])('421 at %s is a Failure for the whole message and ends the connection', async (at, step) => {
  const reply = '421 4.3.2 Service not active'
  const { server, session } = await open({ answer: (c) => (c.startsWith(at) ? reply : undefined) })
  const envelope = { ...ENVELOPE, recipients: ['anna@example.test', 'bert@example.test'] }
  expect(await rejection(session.send(envelope, body(TEXT), plain()))).toMatchObject({
    name: 'Failure',
    step,
    evidence: oneLine(reply),
  })
  expect(session.usable).toBe(false)
  await server.waitFor(() => server.seen.open === 0)
})

test('a yes to DATA that is not 354 is no permission to send, and ends the connection', async () => {
  const { server, session } = await open({ answer: (c) => (c === 'DATA' ? '250 2.0.0 ok' : undefined) })
  expect(await rejection(session.send(ENVELOPE, body(TEXT), plain()))).toMatchObject({ name: 'Failure', step: 'data' })
  expect(session.usable).toBe(false)
  await server.waitFor(() => server.seen.open === 0)
  expect(server.seen.commands.at(-1)).toBe('DATA')
})

test('a refused RSET costs the connection and is a Failure of the session', async () => {
  const { session } = await open({
    answer: (c) => (c.startsWith('RCPT') ? '550 no' : c === 'RSET' ? '500 what' : undefined),
  })
  await session.send(ENVELOPE, body(TEXT), plain())
  expect(await rejection(session.send(ENVELOPE, body(TEXT), plain()))).toMatchObject({ name: 'Failure', step: 'rset' })
  expect(session.usable).toBe(false)
})

test('several messages go over one connection, each with its own transcript', async () => {
  const { server, session } = await open({ security: 'starttls' })
  for (const name of ['one', 'two', 'three']) {
    await session.send({ ...ENVELOPE, recipients: [`${name}@example.test`] }, body(`Subject: ${name}\r\n`), plain())
  }
  expect(server.seen.connections).toBe(1)
  expect(server.seen.messages.map(({ recipients, bytes }) => [recipients[0], bytes.toString()])).toEqual([
    ['one@example.test', 'Subject: one\r\n'],
    ['two@example.test', 'Subject: two\r\n'],
    ['three@example.test', 'Subject: three\r\n'],
  ])
  expect(session.transcript.slice(-9)).toEqual([
    expect.stringMatching(/^C: MAIL FROM:<office@example.test> SIZE=\d+ BODY=8BITMIME$/),
    'S: 250 2.0.0 ok',
    'C: RCPT TO:<three@example.test>',
    'S: 250 2.0.0 ok',
    'C: DATA',
    'S: 354 go ahead',
    'C: (16 bytes of message)',
    'C: .',
    'S: 250 2.0.0 queued as 1',
  ])
  expect(session.transcript.join('\n')).not.toMatch(/Subject|one@|two@/)
})

test('a message larger than the server said it takes is not begun', async () => {
  const { server, session } = await open({ extensions: ['SIZE 1000'] })
  expect(await rejection(session.send(ENVELOPE, body(TEXT), { ...plain(), sizeBytes: 1001 }))).toMatchObject({
    flag: 'message_too_large',
    evidence: 'not sent: the message has 1001 bytes and the server takes at most 1000',
  })
  await session.send(ENVELOPE, body(TEXT), { ...plain(), sizeBytes: 1000 })
  expect(verbs(server.seen.commands)).toEqual(['EHLO', 'MAIL', 'RCPT', 'DATA'])
})

test.each<[string, Answer]>([
  ['without a word', { end: 'close' }],
  ['with a reset', { end: 'reset' }],
  ['with a 421', { raw: '421 4.7.0 enough for now\r\n', end: 'close' }],
])(
  'a connection that ends between two messages %s says so: nothing was taken of the next one',
  async (_how, answer) => {
    let hangUp = false
    const { session } = await open({ answer: (c) => (hangUp && c.startsWith('MAIL') ? answer : undefined) })
    await session.send(ENVELOPE, body(TEXT), plain())
    hangUp = true
    expect(await rejection(session.send(ENVELOPE, body(TEXT), plain()))).toMatchObject({
      name: 'Failure',
      step: 'mail',
    })
    expect(session.endedBetween).toBe(true)
  },
)

test('a refusal of the next message is none', async () => {
  const { server, session } = await open({
    answer: (c) => (c.startsWith('MAIL') && server.seen.messages.length > 0 ? '451 4.3.0 not now' : undefined),
  })
  await session.send(ENVELOPE, body(TEXT), plain())
  expect(await rejection(session.send(ENVELOPE, body(TEXT), plain()))).toMatchObject({ step: 'mail' })
  expect(session.endedBetween).toBe(false)
})

test('MAIL asks only for what the server offers and the message needs', async () => {
  const { server, session } = await open({ extensions: [] })
  await session.send({ ...ENVELOPE, from: '' }, body(TEXT), plain())
  expect(server.seen.commands[1]).toBe('MAIL FROM:<>')
  const able = await open()
  await able.session.send(ENVELOPE, body(TEXT), plain({ sizeBytes: 25, eightBit: false }))
  expect(able.server.seen.commands[1]).toBe('MAIL FROM:<office@example.test> SIZE=25')
})

test('an address that is not ASCII is sent with SMTPUTF8 where the server has it', async () => {
  const { server, session } = await open()
  await session.send({ ...ENVELOPE, recipients: ['jürgen@münchen.test'] }, body(TEXT), plain())
  expect(server.seen.commands[1]).toMatch(/ SMTPUTF8$/)
  expect(server.seen.commands[2]).toBe('RCPT TO:<jürgen@xn--mnchen-3ya.test>')
})

test('without SMTPUTF8 such a recipient fails for good, unasked, and the others get the message', async () => {
  const { server, session } = await open({ extensions: ['8BITMIME'] })
  const recipients = ['jürgen@example.test', 'anna@münchen.test']
  const handOver = await session.send({ ...ENVELOPE, recipients }, body(TEXT), plain())
  expect(handOver.recipients[0]).toMatchObject({
    accepted: false,
    code: 553,
    enhancedCode: '5.6.7',
    failure: { verdict: { scope: 'recipient', persistence: 'permanent' }, step: 'rcpt' },
  })
  expect(handOver.recipients[1]).toMatchObject({ accepted: true })
  expect(server.seen.messages[0]?.recipients).toEqual(['anna@xn--mnchen-3ya.test'])
  expect(server.seen.commands.join('\n')).not.toContain('SMTPUTF8')
  const alone = await session.send({ ...ENVELOPE, recipients: ['jürgen@example.test'] }, body(TEXT), plain())
  expect(alone).toMatchObject({ reply: '', recipients: [{ accepted: false }] })
  const sender = await rejection(session.send({ ...ENVELOPE, from: 'jürgen@example.test' }, body(TEXT), plain()))
  expect(sender).toMatchObject({
    name: 'Failure',
    step: 'mail',
    verdict: { scope: 'message', persistence: 'permanent' },
  })
  expect(session.usable).toBe(true)
})

test.each([
  'anna@example.test>\r\nRCPT TO:<eve@evil.test',
  '"eve@evil.test x"@example.test',
  'anna@example.test(x)',
  'anna@example.test> NOTIFY=NEVER',
])('an address that could mean another one stops the message before a byte is sent: %j', async (address) => {
  const { server, session } = await open()
  const asRecipient = session.send({ ...ENVELOPE, recipients: ['anna@example.test', address] }, body(TEXT), plain())
  expect(await rejection(asRecipient)).toMatchObject({ name: 'AddressError', address })
  expect(await rejection(session.send({ ...ENVELOPE, from: address }, body(TEXT), plain()))).toBeInstanceOf(
    AddressError,
  )
  await session.quit()
  expect(server.seen.commands).toEqual(['EHLO client.example.test', 'QUIT'])
})

test('a message to nobody is a mistake of the caller', async () => {
  const { session } = await open()
  expect(await rejection(session.send({ ...ENVELOPE, recipients: [] }, body(TEXT), plain()))).toBeInstanceOf(UserError)
})

test('a second message cannot begin while one is under way', async () => {
  const { session } = await open()
  const first = session.send(ENVELOPE, body(TEXT), plain())
  expect(session.usable).toBe(false)
  expect(await rejection(session.send(ENVELOPE, body(TEXT), plain()))).not.toBeInstanceOf(Failure)
  await first
  expect(session.usable).toBe(true)
})
