import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Failure, Stopping } from '../../../src/base/failure.ts'
import type { PopSession } from '../../../src/pop3/session.ts'
import { bytewise, type PopScript, type Reply, type ScriptedPop3 } from '../../support/scripted-pop3.ts'
import { connect, failureOf, open, readAll, serve } from './open.ts'

const LOGIN = { mechanism: 'xoauth2', username: 'anna@example.com', accessToken: 'token-of-anna' } as const
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1)
const messages = [Buffer.from('a\r\n'), Buffer.from('b\r\n')]

/** A whole session; gives the Failure it ended in, or undefined. */
async function wholeSession(script: PopScript): Promise<Failure | undefined> {
  const server = await serve({ messages, ...script })
  let session: PopSession | undefined
  try {
    session = await connect(server)
    await session.login(LOGIN)
    await session.stat()
    await session.uidls()
    await session.sizesOf([1, 2])
    await readAll(session, [1, 2])
    await session.dele([1, 2])
    expect(await session.quit()).toBe(true)
    return undefined
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  } finally {
    session?.close()
    await server.waitFor(() => server.seen.open === 0)
  }
}

const at = (command: string, reply: Reply) => ({ answer: (line: string) => (line === command ? reply : undefined) })

const STEPS: readonly (readonly [command: string, step: string])[] = [
  ['(greeting)', 'greeting'],
  ['CAPA', 'capa'],
  ['AUTH XOAUTH2', 'auth'],
  ['(sasl)', 'auth'],
  ['STAT', 'stat'],
  ['UIDL', 'uidl'],
  ['LIST', 'list'],
  ['RETR 1', 'retr'],
  ['RETR 2', 'retr'],
  ['DELE 2', 'dele'],
]

describe.each(STEPS)('at %s', (command, step) => {
  test.each<[string, Reply]>([
    ['a hang-up', { hangUp: 'close' }],
    ['half a line and a hang-up', { raw: '+O', hangUp: 'close' }],
    ['an endless line', { raw: `+OK ${'x'.repeat(9_000)}` }],
  ])('%s ends in a Failure that names step and host', async (_name, reply) => {
    const failure = await wholeSession(at(command, reply))
    expect(failure).toMatchObject({ stage: 'pop3', step, evidence: expect.stringContaining('localhost') })
  })

  test('a reset ends in a Failure', async () => {
    const failure = await wholeSession(at(command, { hangUp: 'reset' }))
    // the reset can overtake the connection
    expect(step === 'greeting' ? ['connect', 'greeting'] : [step]).toContain(failure?.step)
    expect(failure?.evidence).toContain('localhost')
  })
})

test.each(STEPS.filter(([, step]) => step !== 'capa'))(
  'nonsense at %s ends in a Failure that shows it, without its control characters',
  async (command, step) => {
    const failure = await wholeSession(at(command, '\x1b[31mHTTP/1.1 400\x00\u202e Bad'))
    expect(failure).toMatchObject({ stage: 'pop3', step, evidence: expect.stringContaining('?[31mHTTP/1.1 400?? Bad') })
  },
)

test.each(STEPS.filter(([, step]) => step !== 'auth'))('a continuation at %s is no success', async (command, step) => {
  expect(await wholeSession(at(command, '+ go on'))).toMatchObject({ stage: 'pop3', step })
})

describe('silence', () => {
  test('instead of a greeting ends after its own limit', async () => {
    const server = await serve({ answer: (line) => (line === '(greeting)' ? {} : undefined) })
    const failure = await failureOf(connect(server, { greetingTimeoutMs: 50 }))
    expect(failure).toMatchObject({ step: 'greeting', evidence: 'localhost was silent for 0.05 s' })
    await server.waitFor(() => server.seen.open === 0)
  })

  test.each<[string, Reply]>([
    ['instead of an answer', {}],
    ['in the middle of a body', { raw: '+OK\r\nhalf' }],
  ])('%s ends after the idle limit', async (_name, reply) => {
    const { session } = await open({ answer: (line) => (line === 'RETR 1' ? reply : undefined) }, { idleTimeoutMs: 50 })
    expect(await failureOf(readAll(session, [1]))).toMatchObject({ step: 'retr' })
  })

  test('between two commands is nobody’s fault', async () => {
    const { session } = await open({ messages }, { idleTimeoutMs: 30 })
    const before = performance.now()
    while (performance.now() - before < 120) await new Promise((resolve) => setImmediate(resolve))
    expect(await session.stat()).toMatchObject({ count: 2 })
  })

  test('of ours, while the answer lies in the socket, is not the server’s', async () => {
    const { server, session } = await open({ messages }, { idleTimeoutMs: 50 })
    const asked = session.stat()
    await server.waitFor(() => server.seen.commands.includes('STAT'))
    const before = performance.now()
    while (performance.now() - before < 120); // the process stands still
    expect(await asked).toMatchObject({ count: 2 })
  })

  test('is noticed again after such a pause', async () => {
    const { session } = await open({ answer: (line) => (line === 'STAT' ? {} : undefined) }, { idleTimeoutMs: 30 })
    const before = performance.now()
    while (performance.now() - before < 120) await new Promise((resolve) => setImmediate(resolve))
    expect(await failureOf(session.stat())).toMatchObject({ step: 'stat' })
  })
})

describe('a server that drips', () => {
  /** Says the pieces one after the other, every few milliseconds, until the session has ended. */
  async function drip(server: ScriptedPop3, pieces: readonly string[], work: Promise<unknown>): Promise<void> {
    let at = 0
    const dripping = setInterval(() => server.say(pieces[at++ % pieces.length] ?? ''), 5)
    try {
      await work
    } finally {
      clearInterval(dripping)
    }
  }
  const silentAt = (command: string, raw = '') => ({
    answer: (line: string) => (line === command ? { raw } : undefined),
  })

  test('its greeting frees the slot after the limit of the greeting', async () => {
    const server = await serve(silentAt('(greeting)', '+OK '))
    const failing = failureOf(connect(server, { greetingTimeoutMs: 60 }))
    await drip(server, ['x'], failing)
    expect(await failing).toMatchObject({
      step: 'greeting',
      evidence: 'localhost did not complete a reply line within 0.06 s',
    })
    await server.waitFor(() => server.seen.open === 0)
  })

  test('a status line frees the slot after the idle limit, however many bytes come', async () => {
    const { server, session } = await open(silentAt('STAT'), { idleTimeoutMs: 60 })
    const failing = failureOf(session.stat())
    await drip(server, ['+OK', ' 1', '2'], failing)
    expect(await failing).toMatchObject({
      step: 'stat',
      evidence: 'localhost did not complete a reply line within 0.06 s',
    })
  })

  test.each(['UIDL', 'LIST', 'RETR 1'])('the body of %s frees the slot', async (command) => {
    const { server, session } = await open(silentAt(command, '+OK\r\n'), { idleTimeoutMs: 60 })
    const work =
      { UIDL: () => session.uidls(), LIST: () => session.sizesOf(numbers(300)) }[command] ??
      (() => readAll(session, [1]))
    const failing = failureOf(work())
    await drip(server, ['1 a\r\n'], failing)
    const failure = await failing
    expect(failure).toMatchObject({ stage: 'pop3', step: command.slice(0, 4).toLowerCase() })
    expect(failure.evidence).toMatch(/^localhost sent only \d+ bytes of a reply within 0\.06 s$/)
  })

  test('its consent to STLS frees the slot', async () => {
    const server = await serve({ security: 'starttls', ...silentAt('STLS', '+OK') })
    const failing = failureOf(connect(server, { idleTimeoutMs: 60 }))
    await drip(server, [' x'], failing)
    expect(await failing).toMatchObject({ step: 'tls', evidence: expect.stringContaining('did not complete') })
  })

  test('but keeps to the least rate is let finish', async () => {
    const { server, session } = await open(silentAt('RETR 1', '+OK\r\n'), { idleTimeoutMs: 60, minBodyBytes: 10 })
    const begun = performance.now()
    let over = false
    const reading = readAll(session, [1]).then(([body]) => ((over = true), body))
    const dripping = setInterval(() => {
      if (over) return
      server.say(performance.now() - begun < 300 ? '12345678\r\n' : '.\r\n')
    }, 5)
    try {
      expect((await reading)!.length).toBeGreaterThan(100)
    } finally {
      clearInterval(dripping)
    }
  })
})

describe('a server that speaks unasked', () => {
  test.each([
    ['-ERR Disconnected for inactivity.\r\n', '-ERR Disconnected for inactivity.'],
    ['* BYE\r\n', 'localhost sent something it was not asked for: * BYE'],
  ])('%j ends the session, and the next command says why', async (line, evidence) => {
    const { server, session } = await open({ messages })
    await session.stat()
    server.say(line)
    await server.waitFor(() => server.seen.open === 0)
    expect(await failureOf(session.stat())).toMatchObject({ evidence })
  })

  test('while messages come does not shift the answers', async () => {
    const raw = '+OK\r\na\r\n.\r\nstray line\r\n'
    const answer = (line: string) => (line === 'RETR 1' ? { raw } : undefined)
    const { session } = await open({ messages, answer })
    expect((await failureOf(readAll(session, [1, 2]))).evidence).toContain('stray line')
  })
})

test('-ERR as a greeting is a Failure with the server’s words', async () => {
  const server = await serve({
    answer: (line) => (line === '(greeting)' ? '-ERR [SYS/TEMP] too many connections' : undefined),
  })
  const failure = await failureOf(connect(server))
  expect(failure).toMatchObject({ step: 'greeting', evidence: '-ERR [SYS/TEMP] too many connections' })
})

test('a port where nobody listens is a Failure with the sentence and the code', async () => {
  const server = await serve({})
  await server.stop()
  const failure = await failureOf(connect(server))
  expect(failure).toMatchObject({ stage: 'pop3', step: 'connect', cause: { code: 'ECONNREFUSED' } })
  expect(failure.evidence).toBe(`localhost:${server.target.port} refused the connection`)
})

describe('stopping', () => {
  test('closes the socket at once, in the middle of a body', async () => {
    const stop = new AbortController()
    const answer = (line: string) => (line === 'RETR 1' ? { raw: '+OK\r\nhalf' } : undefined)
    const { server, session } = await open({ answer }, { signal: stop.signal })
    const reading = failureOf(readAll(session, [1]))
    await server.waitFor(() => server.seen.commands.includes('RETR 1'))
    stop.abort(new Stopping())
    expect(await reading).toMatchObject({ step: 'retr', cause: stop.signal.reason })
    await server.waitFor(() => server.seen.open === 0)
  })

  test('before anything was dialled opens no connection', async () => {
    const server = await serve({})
    expect(await failureOf(connect(server, { signal: AbortSignal.abort(new Stopping()) }))).toMatchObject({
      step: 'connect',
    })
    expect(server.seen.connections).toBe(0)
  })

  test('twice is as good as once, and what comes later is refused', async () => {
    const { server, session } = await open({})
    session.close()
    session.close()
    expect(await failureOf(session.stat())).toMatchObject({ evidence: 'the session was closed by us' })
    await server.waitFor(() => server.seen.open === 0)
  })
})

describe('a listing', () => {
  const list = (lines: string, cut?: PopScript['cut']) =>
    open({
      answer: (line) =>
        /^(UIDL|LIST)$/.test(line) ? { raw: Buffer.from(`+OK\r\n${lines}.\r\n`, 'latin1') } : undefined,
      ...(cut ? { cut } : {}),
    })

  const entries = async (session: PopSession) => {
    const listing = await session.uidls()
    return { entries: [...listing], malformed: listing.malformed }
  }

  test.each([undefined, bytewise])('with malformed lines gives the others, and counts them', async (cut) => {
    const good = '1 a\r\n2  b c \r\n3 \xe4\xff!\r\n2147483647 last\r\n'
    const bad =
      'abc def\r\n\r\n4\r\n5 \r\n0 zero\r\n-1 minus\r\n2147483648 far\r\n99999999999 x\r\n6 a\x00b\r\n7x y\r\n8 del\x7f\r\n'
    const { session } = await list(bad + good, cut)
    expect(await entries(session)).toEqual({
      malformed: 11,
      entries: [
        { number: 1, uidl: 'a' },
        { number: 2, uidl: 'b c' },
        { number: 3, uidl: '\xe4\xff!' },
        { number: 2_147_483_647, uidl: 'last' },
      ],
    })
  })

  test.each([undefined, bytewise])(
    'that names a number again keeps the first, in whatever order they come',
    async (cut) => {
      const { session } = await list(
        '5 five\r\n2 two\r\n5 again\r\n1 one\r\n2 again\r\n7 seven\r\n7 again\r\n6 six\r\n',
        cut,
      )
      const listing = await session.uidls()
      expect([...listing].map(({ number, uidl }) => `${number} ${uidl}`)).toEqual([
        '5 five',
        '2 two',
        '1 one',
        '7 seven',
        '6 six',
      ])
      expect([listing.length, listing.malformed]).toEqual([5, 3])
      expect([listing.numberAt(3), listing.uidlAt(3)]).toEqual([7, 'seven'])
    },
  )

  test.each([undefined, bytewise])('of sizes is as tolerant', async (cut) => {
    const lines = '1 120\r\n2 -5\r\n3 12x\r\n4 7 extra\r\n5 9999999999999999\r\n6 0\r\n1 121\r\n'
    const { session } = await list(lines, cut)
    expect([...(await session.sizesOf(numbers(300)))]).toEqual([
      [1, 120],
      [4, 7],
      [6, 0],
    ])
  })

  test('leaves out over-long lines and identifiers, wherever they are cut', async () => {
    const lines = `1 ${'x'.repeat(1_001)}\r\n2 ${'y'.repeat(20_000)}\r\n3 z\r\n`
    for (const size of [10, 4_000, 100_000]) {
      const cut = (bytes: Buffer) =>
        Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
      const { session } = await list(lines, cut)
      expect(await entries(session)).toEqual({ malformed: 2, entries: [{ number: 3, uidl: 'z' }] })
    }
  })

  test('has the digest of its bytes, whatever the pieces they came in', async () => {
    const lines = '1 a\r\n2 b\r\n'
    const expected = createHash('sha256').update(lines).digest('hex')
    for (const cut of [undefined, bytewise]) {
      const { session } = await list(lines, cut)
      expect((await session.uidls()).digest.toString('hex')).toBe(expected)
    }
    const { session } = await list('1 a\r\n2 B\r\n')
    expect((await session.uidls()).digest.toString('hex')).not.toBe(expected)
  })

  test('may be empty', async () => {
    const { session } = await list('')
    const listing = await session.uidls()
    expect([listing.length, listing.malformed, [...listing]]).toEqual([0, 0, []])
    expect((await session.sizesOf(numbers(300))).size).toBe(0)
  })

  test('of 100,000 messages costs little more memory than its bytes, and little time', async () => {
    const lines = Array.from({ length: 100_000 }, (_, i) => `${i + 1} ${String(i).padStart(40, 'u')}\r\n`).join('')
    const { session } = await list(lines)
    const before = process.memoryUsage()
    const uidls = await session.uidls()
    const cpu = process.cpuUsage()
    expect(uidls.length).toBe(100_000)
    const { user } = process.cpuUsage(cpu)
    const after = process.memoryUsage()
    expect([uidls.numberAt(99_999), uidls.uidlAt(99_999)]).toEqual([100_000, String(99_999).padStart(40, 'u')])
    expect(after.heapUsed - before.heapUsed).toBeLessThan(20 * 1024 * 1024)
    expect(user / 1000).toBeLessThan(500)
  })

  test.each([
    ['without end', `1 ${'x'.repeat(900)}\r\n`.repeat(75_000)],
    ['of more messages than a maildrop holds', '1 a\r\n'.repeat(1_000_001)],
  ])('%s is given up', async (_how, lines) => {
    const { session } = await list(lines)
    expect(await failureOf(session.uidls())).toMatchObject({
      step: 'uidl',
      evidence: expect.stringContaining('list of more than'),
    })
    expect(await failureOf(session.stat())).toMatchObject({ stage: 'pop3' })
  })
})

test('capabilities without end are given up', async () => {
  const { session } = await open({
    answer: (line) => (line === 'CAPA' ? { raw: `+OK\r\n${'X-A\r\n'.repeat(20_000)}.\r\n` } : undefined),
  })
  expect(await failureOf(session.capabilities())).toMatchObject({
    step: 'capa',
    flag: 'server_speaks_garbage',
    evidence: expect.stringContaining('more than 65536 bytes'),
  })
})
