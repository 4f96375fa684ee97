import { expect, test } from 'vitest'
import { UncertainOutcome } from '../../../src/smtp/submission.ts'
import type { Answer } from '../../support/scripted-smtp.ts'
import { body, ENVELOPE, open, plain, rejection, TEXT } from './loopback.ts'

const CUTS: readonly (readonly [string, Answer])[] = [
  ['the connection ends', { end: 'close' }],
  ['the connection is reset', { end: 'reset' }],
  ['half a reply arrives', { raw: '250', end: 'close' }],
  ['half a refusal arrives', { raw: '550 5.7.1 almost', end: 'close' }],
  ['a continuation arrives', { raw: '250-2.0.0 first line\r\n', end: 'close' }],
  ['a code of four digits arrives', { raw: '2500 ok\r\n' }],
  ['a code of two digits arrives', { raw: '25 ok\r\n' }],
  ['text without a code arrives', { raw: 'ok\r\n' }],
  ['lines that disagree arrive', { raw: '250-ok\r\n550 no\r\n' }],
  ['nothing arrives in time', {}],
]
const QUICK = { timeouts: { commandMs: 250, finalReplyMs: 250 } }

const BEFORE_THE_DOT = [
  ['MAIL FROM:', 'mail'],
  ['RCPT TO:', 'rcpt'],
  ['DATA', 'data'],
] as const

test.each(BEFORE_THE_DOT.flatMap(([at, phase]) => CUTS.map(([what, answer]) => [what, at, phase, answer] as const)))(
  'when %s at %s, that is a Failure: nothing was handed over',
  async (_what, at, phase, answer) => {
    const { server, session } = await open({ answer: (c) => (c.startsWith(at) ? answer : undefined) }, QUICK)
    const failure = await rejection(session.send(ENVELOPE, body(TEXT), plain()))
    expect(failure).toMatchObject({ name: 'Failure', step: phase, cause: { name: 'Lost' } })
    expect(session.phase).toBe(phase)
    expect(session.usable).toBe(false)
    await server.waitFor(() => server.seen.open === 0)
  },
)

test.each(CUTS)('when %s after the final dot, the outcome is uncertain', async (_name, answer) => {
  const { server, session } = await open({ security: 'tls', answer: (c) => (c === '.' ? answer : undefined) }, QUICK)
  const error = await rejection(session.send(ENVELOPE, body(TEXT), plain()))
  expect(error).toBeInstanceOf(UncertainOutcome)
  const seen = typeof answer === 'string' ? '' : (answer.raw ?? '')
  expect(error).toMatchObject({ phase: 'handing_over', seen })
  expect(session.phase).toBe('handing_over')
  expect(session.usable).toBe(false)
  expect(server.seen.messages).toHaveLength(1)
})

test('a reply to the dot that is neither yes nor no is uncertain', async () => {
  const { session } = await open({ answer: (c) => (c === '.' ? '354 go on' : undefined) })
  expect(await rejection(session.send(ENVELOPE, body(TEXT), plain()))).toBeInstanceOf(UncertainOutcome)
  expect(session.usable).toBe(false)
})

async function* endless(): AsyncGenerator<Buffer> {
  for (;;) yield Buffer.from(`${'x'.repeat(998)}\r\n`)
}

test.each([1, 70_000, 400_000, 1_900_000])('a cut after %d bytes of the body is a Failure', async (cutAt) => {
  for (const end of ['close', 'reset'] as const) {
    let committed = false
    const { server, session } = await open({ onBody: (received) => (received >= cutAt ? { end } : undefined) })
    const chunks = Array.from({ length: 40 }, () => `${'x'.repeat(62)}\r\n`.repeat(2_000))
    const failure = await rejection(
      session.send(
        ENVELOPE,
        body(...chunks),
        plain({ beforeFinalDot: () => Promise.resolve(void (committed = true)) }),
      ),
    )
    expect(failure).toMatchObject({
      name: 'Failure',
      step: 'data',
      cause: { code: expect.stringMatching(/^E(CONNRESET|PIPE)$/) },
    })
    expect(committed).toBe(false)
    expect(server.seen.messages).toEqual([])
  }
})

test.each([
  ['552 5.3.4 too much', { raw: '552 5.3.4 too much\r\n' }],
  ['421 4.3.2 going down', { raw: '421 4.3.2 going down\r\n', end: 'close' as const }],
])('a server that breaks into the body with %s is quoted', async (reply, step) => {
  const { server, session } = await open({ onBody: (received) => (received < 200_000 ? undefined : step) })
  const failure = await rejection(session.send(ENVELOPE, endless(), plain()))
  expect(failure).toMatchObject({ name: 'Failure', step: 'data', evidence: reply })
  await server.waitFor(() => server.seen.open === 0)
  expect(server.seen.messages).toEqual([])
})

test('a yes that comes before the dot is not believed', async () => {
  const { server, session } = await open({ onBody: () => ({ raw: '250 2.0.0 queued\r\n' }) })
  async function* slow() {
    yield Buffer.from('first\r\n')
    await server.waitFor(() => server.seen.open === 0)
    yield Buffer.from('second\r\n')
  }
  const failure = await rejection(session.send(ENVELOPE, slow(), plain()))
  expect(failure).toMatchObject({ name: 'Failure', step: 'data', cause: { code: 'EPROTOCOL' } })
  expect(server.seen.messages).toEqual([])
})

test('the server has every byte of the body and not the dot while the caller commits', async () => {
  const { server, session } = await open({ security: 'tls' })
  const text = `${'y'.repeat(300_000)}\r\nlast line without an end`
  const order: string[] = []
  await session.send(
    ENVELOPE,
    body(text),
    plain({
      async beforeFinalDot() {
        await server.waitFor(() => server.seen.bodyBytes === text.length + 2)
        order.push(`committing, phase ${session.phase}, ${server.seen.messages.length} messages`)
        // A round trip of the event loop and the sockets: a dot already on its way would arrive.
        for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve))
        order.push(`committed, ${server.seen.bodyBytes - text.length - 2} bytes more`)
      },
    }),
  )
  order.push(`${server.seen.messages.length} messages, phase ${session.phase}`)
  expect(order).toEqual(['committing, phase data, 0 messages', 'committed, 0 bytes more', '1 messages, phase done'])
})

test('if the commit fails the dot is never sent, and the caller gets the own error back', async () => {
  const lost = new Error('the lease was lost')
  const { server, session } = await open()
  const error = await rejection(
    session.send(ENVELOPE, body(TEXT), plain({ beforeFinalDot: () => Promise.reject(lost) })),
  )
  expect(error).toBe(lost)
  expect(session.phase).toBe('data')
  expect(session.usable).toBe(false)
  await server.waitFor(() => server.seen.open === 0)
  expect(server.seen.messages).toEqual([])
})

test('if the body cannot be read the dot is never sent, and the caller gets the own error back', async () => {
  const broken = new Error('the row is gone')
  async function* failing() {
    yield Buffer.from('first\r\n')
    throw broken
  }
  const { server, session } = await open()
  expect(await rejection(session.send(ENVELOPE, failing(), plain()))).toBe(broken)
  await server.waitFor(() => server.seen.open === 0)
  expect(server.seen.messages).toEqual([])
})

test('a connection lost while the caller commits is a Failure: the dot did not go out', async () => {
  const { server, session } = await open({
    onBody: (received) => (received === TEXT.length ? { end: 'reset' } : undefined),
  })
  const failure = await rejection(
    session.send(
      ENVELOPE,
      body(TEXT),
      plain({
        async beforeFinalDot() {
          await server.waitFor(() => server.seen.open === 0)
          for (let turn = 0; session.usable || turn < 50; turn += 1)
            await new Promise((resolve) => setImmediate(resolve))
        },
      }),
    ),
  )
  expect(failure).toMatchObject({ name: 'Failure', step: 'data' })
})

test.each(['MAIL', 'RCPT', 'DATA'])('turning the signal during %s closes at once', async (verb) => {
  const { server, session, abort } = await open({ answer: (c) => (c.startsWith(verb) ? {} : undefined) })
  const sending = rejection(session.send(ENVELOPE, body(TEXT), plain()))
  await server.waitFor(() => server.seen.commands.at(-1)?.startsWith(verb) ?? false)
  abort()
  expect(await sending).toMatchObject({ name: 'Failure', cause: { code: 'ABORT_ERR' } })
  await server.waitFor(() => server.seen.open === 0)
})

test('turning the signal while the body waits for its source closes at once', async () => {
  const { session, abort } = await open()
  let released = false
  const asked = Promise.withResolvers<void>()
  const hanging: AsyncIterable<Buffer> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        asked.resolve()
        return new Promise(() => {})
      },
      return: () => Promise.resolve(void (released = true)).then(() => ({ done: true, value: undefined })),
    }),
  }
  const sending = rejection(session.send(ENVELOPE, hanging, plain()))
  await asked.promise
  abort()
  expect(await sending).toMatchObject({ name: 'Failure', step: 'data', cause: { code: 'ABORT_ERR' } })
  expect(released).toBe(true)
})

test('turning the signal while the caller commits keeps the dot back', async () => {
  const { server, session, abort } = await open()
  const failure = await rejection(
    session.send(ENVELOPE, body(TEXT), plain({ beforeFinalDot: () => Promise.resolve(abort()) })),
  )
  expect(failure).toMatchObject({ name: 'Failure', cause: { code: 'ABORT_ERR' } })
  await server.waitFor(() => server.seen.open === 0)
  expect(server.seen.messages).toEqual([])
})

test('after the dot the signal is not obeyed until the reply is in', async () => {
  const { server, session, abort } = await open({ answer: (c) => (c === '.' ? {} : undefined) })
  const sending = session.send(ENVELOPE, body(TEXT), plain())
  await server.waitFor(() => server.seen.messages.length === 1)
  abort()
  server.say('250 2.0.0 queued')
  expect(await sending).toMatchObject({ reply: '250 2.0.0 queued' })
  expect(session.phase).toBe('done')
  await server.waitFor(() => server.seen.open === 0)
  expect(session.usable).toBe(false)
})

test('close() after the dot does not wait: the outcome is uncertain', async () => {
  const { server, session } = await open({ answer: (c) => (c === '.' ? {} : undefined) })
  const sending = rejection(session.send(ENVELOPE, body(TEXT), plain()))
  await server.waitFor(() => server.seen.messages.length === 1)
  session.close()
  session.close()
  expect(await sending).toBeInstanceOf(UncertainOutcome)
})

test('a final reply that arrives byte by byte is a hand-over', async () => {
  const { session } = await open({
    chunked: true,
    answer: (c) => (c === '.' ? '250-2.0.0 ok\r\n250 2.0.0 queued' : undefined),
  })
  expect(await session.send(ENVELOPE, body(TEXT), plain())).toMatchObject({ reply: '250-2.0.0 ok\r\n250 2.0.0 queued' })
})

test('a complete final reply counts although the connection ends with it', async () => {
  const { session } = await open({
    answer: (c) => (c === '.' ? { raw: '250 2.0.0 queued\r\n', end: 'close' } : undefined),
  })
  expect(await session.send(ENVELOPE, body(TEXT), plain())).toMatchObject({ reply: '250 2.0.0 queued' })
})
