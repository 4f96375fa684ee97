import { describe, expect, test } from 'vitest'
import { body, ENVELOPE, open, plain, rejection, TEXT } from './loopback.ts'

const verbs = (commands: readonly string[]): string[] => commands.map((line) => /^[A-Z.]+/.exec(line)?.[0] ?? line)

test('with PIPELINING the envelope goes out at once, and a refused sender does not confuse the next message', async () => {
  let silent = true
  const { server, session } = await open({
    extensions: ['PIPELINING'],
    answer: (c) =>
      silent && c.startsWith('MAIL')
        ? {}
        : silent && c.startsWith('RCPT TO:<last')
          ? { raw: '550 5.7.1 no\r\n503 first\r\n503 second\r\n' }
          : silent && c.startsWith('RCPT')
            ? {}
            : undefined,
  })
  const recipients = ['first@example.test', 'last@example.test']
  expect(await rejection(session.send({ ...ENVELOPE, recipients }, body(TEXT), plain()))).toMatchObject({
    step: 'mail',
    evidence: '550 5.7.1 no',
  })
  silent = false
  const handOver = await session.send({ ...ENVELOPE, recipients }, body(TEXT), plain())
  expect(handOver.recipients.map(({ accepted }) => accepted)).toEqual([true, true])
  expect(server.seen.messages).toHaveLength(1)
})

describe('with PIPELINING, DATA goes in the same flight', () => {
  test('and one message takes two round trips', async () => {
    const { server, session } = await open({ extensions: ['PIPELINING'] })
    await session.send({ ...ENVELOPE, recipients: ['one@example.test', 'two@example.test'] }, body(TEXT), plain())
    expect(verbs(server.seen.commands)).toEqual(['EHLO', 'MAIL', 'RCPT', 'RCPT', 'DATA'])
    expect(server.seen.messages).toHaveLength(1)
  })

  test.each([
    ['every recipient', 'RCPT TO', { reply: '', recipients: [{ accepted: false }] }],
    ['the sender', 'MAIL FROM', { name: 'Failure', step: 'mail' }],
  ])('and a server that waits for a message although it refused %s gets none', async (_whose, at, outcome) => {
    const { server, session } = await open({
      extensions: ['PIPELINING'],
      answer: (c) => (c.startsWith(at) ? '550 5.1.1 no' : c === 'DATA' ? '354 go ahead' : undefined),
    })
    const sent = session.send(ENVELOPE, body(TEXT), plain()).catch((error: unknown) => error)
    expect(await sent).toMatchObject(outcome)
    expect(session.usable).toBe(false)
    expect(server.seen.bodyBytes).toBe(0)
  })

  test('but not behind more recipients than go in one', async () => {
    const { server, session } = await open({
      extensions: ['PIPELINING'],
      answer: (c) => (c.startsWith('MAIL') ? '451 4.3.0 not now' : undefined),
    })
    const recipients = Array.from({ length: 60 }, (_, index) => `r${index}@example.test`)
    expect(await rejection(session.send({ ...ENVELOPE, recipients }, body(TEXT), plain()))).toMatchObject({
      step: 'mail',
    })
    expect(verbs(server.seen.commands)).not.toContain('DATA')
  })
})

test('with PIPELINING many recipients keep their answers in order', async () => {
  const { server, session } = await open({
    extensions: ['PIPELINING'],
    answer: (c) => (/<r\d*7@/.test(c) ? '550 5.1.1 no' : undefined),
  })
  const recipients = Array.from({ length: 300 }, (_, index) => `r${index}@example.test`)
  const handOver = await session.send({ ...ENVELOPE, recipients }, body(TEXT), plain())
  expect(handOver.recipients.map(({ address }) => address)).toEqual(recipients)
  expect(handOver.recipients.filter(({ accepted }) => !accepted).map(({ address }) => address)).toEqual(
    recipients.filter((address) => address.includes('7@')),
  )
  expect(server.seen.messages[0]?.recipients).toHaveLength(270)
  expect(session.transcript.length).toBeLessThanOrEqual(100)
})
