import { expect, test } from 'vitest'
import { Failure, UserError } from '../../../src/base/failure.ts'
import { Submission } from '../../../src/smtp/submission.ts'
import { makePki } from '../../support/pki.ts'
import { loopbackNet, open, openTo, PASSWORD, rejection, serve, xoauth2 } from './loopback.ts'

const CREDENTIALS = /AUTH|b2ZmaWNl|dXNlcj1/

/** Evidence is shown in one line. */
const oneLine = (reply: string): string => reply.replaceAll('\r\n', ' ')

test.each(['none', 'starttls', 'tls'] as const)('a session opens over %s and logs in', async (security) => {
  const { server, session } = await open({ security })
  await session.login(PASSWORD)
  expect(session.usable).toBe(true)
  expect(session.phase).toBe('auth')
  expect(server.seen.commands.at(-1)).toMatch(/^AUTH PLAIN /)
  expect(CREDENTIALS.test(server.seen.plaintext)).toBe(security === 'none')
})

test('after STARTTLS the client says EHLO again and believes only that answer', async () => {
  let hellos = 0
  const { server, session } = await open({
    security: 'starttls',
    answer: (command) => {
      if (!command.startsWith('EHLO')) return undefined
      hellos += 1
      return hellos === 1 ? '250-localhost\r\n250-AUTH PLAIN\r\n250 STARTTLS' : '250-localhost\r\n250 AUTH LOGIN'
    },
  })
  await session.login(PASSWORD)
  const verbs = server.seen.commands.map((line) => line.split(' ').slice(0, 2).join(' '))
  expect(verbs.slice(0, 4)).toEqual(['EHLO client.example.test', 'STARTTLS', 'EHLO client.example.test', 'AUTH LOGIN'])
})

test('a session survives replies that arrive byte by byte', async () => {
  const { session } = await open({ security: 'starttls', chunked: true })
  await session.login(xoauth2())
  expect(session.usable).toBe(true)
})

test.each([
  [
    'is not offered',
    { answer: (c: string) => (c.startsWith('EHLO') ? '250-localhost\r\n250 AUTH PLAIN LOGIN' : undefined) },
  ],
  ['is refused', { answer: (c: string) => (c === 'STARTTLS' ? '454 4.7.0 TLS not available' : undefined) }],
  [
    'comes with a second reply',
    { answer: (c: string) => (c === 'STARTTLS' ? { raw: '220 go\r\n250 AUTH PLAIN\r\n' } : undefined) },
  ],
  ['comes with a fragment', { answer: (c: string) => (c === 'STARTTLS' ? { raw: '220 go\r\n250-in' } : undefined) }],
  ['is answered with nonsense', { answer: (c: string) => (c === 'STARTTLS' ? '2200 go' : undefined) }],
  ['ends the connection', { answer: (c: string) => (c === 'STARTTLS' ? { end: 'close' as const } : undefined) }],
  [
    'is followed by something that is not TLS',
    {
      answer: (c: string) => (c === 'STARTTLS' ? { raw: '220-go\r\n220 go\r\n' } : undefined),
      tls: { cert: '', key: '' },
    },
  ],
])('no credential is sent when STARTTLS %s', async (_name, script) => {
  const server = await serve({ security: 'starttls', ...script })
  const failure = await rejection(openTo(server).then(({ session }) => session.login(PASSWORD)))
  expect(failure).toBeInstanceOf(Failure)
  await server.waitFor(() => server.seen.open === 0)
  expect(server.seen.plaintext).not.toMatch(CREDENTIALS)
  expect(server.seen.commands.filter((line) => line.startsWith('AUTH'))).toEqual([])
})

test('the refusal of STARTTLS and the missing offer are told apart', async () => {
  const refused = await serve({
    security: 'starttls',
    answer: (c) => (c === 'STARTTLS' ? '454 4.7.0 no TLS' : undefined),
  })
  expect(await rejection(openTo(refused))).toMatchObject({ step: 'starttls', evidence: '454 4.7.0 no TLS' })
  const missing = await serve({
    security: 'starttls',
    answer: (c) => (c.startsWith('EHLO') ? '250 localhost' : undefined),
  })
  expect(await rejection(openTo(missing))).toMatchObject({ step: 'starttls', cause: { code: 'STARTTLS_NOT_OFFERED' } })
  const injected = await serve({
    security: 'starttls',
    answer: (c) => (c === 'STARTTLS' ? { raw: '220 go\r\nx' } : undefined),
  })
  expect(await rejection(openTo(injected))).toMatchObject({ cause: { code: 'STARTTLS_INJECTION' } })
})

test.each(['starttls', 'tls'] as const)(
  'a certificate nobody vouches for ends %s before any credential',
  async (security) => {
    const stranger = await makePki()
    const server = await serve({ security, tls: stranger })
    await stranger.stop()
    const failure = await rejection(openTo(server))
    expect(failure).toMatchObject({
      name: 'Failure',
      step: 'tls',
      cause: { step: 'tls', code: 'CERT_SIGNATURE_FAILURE' },
    })
    await server.waitFor(() => server.seen.open === 0)
    expect(server.seen.commands.filter((line) => line.startsWith('AUTH'))).toEqual([])
  },
)

test('nobody at home is a failure of the network', async () => {
  const server = await serve()
  const { endpoint } = server
  const gone = { ...endpoint, port: 1 }
  const options = { signal: new AbortController().signal, clientName: 'client.example.test' }
  const failure = await rejection(Submission.open(loopbackNet(), gone, options))
  expect(failure).toMatchObject({ name: 'Failure', step: 'connect', cause: { code: 'ECONNREFUSED' } })
})

test.each([
  ['a refusing greeting', 'none', '(greeting)', '554 5.7.1 not you', 'greeting'],
  ['a refusing greeting before STARTTLS', 'starttls', '(greeting)', '554 5.7.1 not you', 'greeting'],
  ['a busy greeting', 'none', '(greeting)', '421-4.7.0 busy\r\n421 4.7.0 later', 'greeting'],
  ['a refused EHLO', 'none', 'EHLO client.example.test', '421 4.7.0 try again later', 'ehlo'],
  ['a refused EHLO before STARTTLS', 'starttls', 'EHLO client.example.test', '550 5.7.1 bad name', 'ehlo'],
] as const)('%s is reported with all its lines', async (_name, security, step, reply, phase) => {
  const server = await serve({ security, answer: (command) => (command === step ? reply : undefined) })
  expect(await rejection(openTo(server))).toMatchObject({
    name: 'Failure',
    stage: 'smtp',
    step: phase,
    evidence: oneLine(reply),
  })
  await server.waitFor(() => server.seen.open === 0)
})

test.each(['none', 'starttls'] as const)(
  'silence instead of a greeting ends after its own timeout (%s)',
  async (security) => {
    const server = await serve({ security, answer: (command) => (command === '(greeting)' ? {} : undefined) })
    const failure = await rejection(openTo(server, { timeouts: { greetingMs: 30 } }))
    expect(failure).toMatchObject({ name: 'Failure', step: 'greeting', cause: { code: 'ETIMEDOUT' } })
  },
)

test('silence after EHLO ends after the command timeout', async () => {
  const server = await serve({ answer: (command) => (command.startsWith('EHLO') ? {} : undefined) })
  const failure = await rejection(openTo(server, { timeouts: { greetingMs: 30, commandMs: 30 } }))
  expect(failure).toMatchObject({ name: 'Failure', step: 'ehlo', cause: { code: 'ETIMEDOUT' } })
})

test.each(['none', 'starttls', 'tls'] as const)('an endless reply is cut off (%s)', async (security) => {
  const server = await serve({
    security,
    answer: (command) => (command.startsWith('EHLO') ? { raw: '250-x\r\n'.repeat(20_000) } : undefined),
  })
  expect(await rejection(openTo(server))).toMatchObject({ name: 'Failure', step: 'ehlo', cause: { code: 'EPROTOCOL' } })
})

test('XOAUTH2 goes out in one line while the command stays within 512 octets', async () => {
  const { server, session } = await open({ security: 'tls' })
  await session.login(xoauth2('short-token'))
  const line = server.seen.commands.at(-1) ?? ''
  expect(Buffer.from(line.replace('AUTH XOAUTH2 ', ''), 'base64').toString()).toBe(
    'user=office@example.test\x01auth=Bearer short-token\x01\x01',
  )
})

test('a longer token is sent after the 334, unbroken', async () => {
  const { server, session } = await open({ security: 'tls' })
  const token = 'x'.repeat(3_000)
  await session.login(xoauth2(token))
  const [command, response = ''] = server.seen.commands.slice(-2)
  expect(command).toBe('AUTH XOAUTH2')
  expect(Buffer.from(response, 'base64').toString()).toContain(`auth=Bearer ${token}\x01\x01`)
})

test.each([
  ['XOAUTH2', (length: number) => xoauth2('x'.repeat(length))],
  ['PLAIN', (length: number) => ({ ...PASSWORD, password: 'x'.repeat(length) })],
] as const)('an AUTH %s command line is never longer than 512 octets', async (mechanism, login) => {
  const forms = new Set<boolean>()
  for (let length = 320; length < 360; length += 1) {
    const { server, session } = await open()
    await session.login(login(length))
    const command = server.seen.commands.find((line) => line.startsWith(`AUTH ${mechanism}`)) ?? ''
    expect(`${command}\r\n`.length).toBeLessThanOrEqual(512)
    forms.add(command === `AUTH ${mechanism}`)
    session.close()
  }
  expect(forms.size).toBe(2)
})

test('a password goes by LOGIN where PLAIN is not announced', async () => {
  let asked = 0
  const { server, session } = await open({
    extensions: ['AUTH LOGIN XOAUTH2'],
    answer: (command) => {
      if (command === '(sasl)') asked += 1
      return command === '(sasl)' && asked === 1 ? '334 UGFzc3dvcmQ6' : undefined
    },
  })
  await session.login(PASSWORD)
  expect(server.seen.commands.slice(-3)).toEqual([
    'AUTH LOGIN',
    Buffer.from('office@example.test').toString('base64'),
    Buffer.from('correct horse battery').toString('base64'),
  ])
})

test.each([
  ['in one line', 'short-token-value'],
  ['after the 334', 'x'.repeat(900)],
])('a 334 error challenge gets an empty line and no second attempt (token sent %s)', async (_name, token) => {
  const challenge = Buffer.from('{"status":"400","schemes":"Bearer"}').toString('base64')
  let sasl = 0
  const { server, session } = await open({
    answer: (command) => {
      if (/^AUTH XOAUTH2 \S/.test(command)) return `334 ${challenge}`
      if (command !== '(sasl)') return undefined
      sasl += 1
      return server.seen.commands.at(-1) === ''
        ? '535-5.7.8 Username and Password\r\n535 5.7.8 not accepted'
        : `334 ${challenge}`
    },
  })
  const failure = await rejection(session.login(xoauth2(token)))
  expect(failure).toMatchObject({
    name: 'Failure',
    step: 'auth',
    evidence: '535-5.7.8 Username and Password 535 5.7.8 not accepted',
  })
  expect(server.seen.commands.filter((line) => line.startsWith('AUTH'))).toHaveLength(1)
  expect(server.seen.commands.at(-1)).toBe('')
  expect(sasl).toBeLessThanOrEqual(2)
  expect(session.usable).toBe(true)
})

test.each([xoauth2(), PASSWORD])('a direct 535 is one attempt, and the connection stays', async (login) => {
  const { server, session } = await open({
    answer: (c) => (c.startsWith('AUTH') ? '535 5.7.3 Authentication unsuccessful' : undefined),
  })
  expect(await rejection(session.login(login))).toMatchObject({
    step: 'auth',
    evidence: '535 5.7.3 Authentication unsuccessful',
  })
  expect(server.seen.commands.filter((line) => line.startsWith('AUTH'))).toHaveLength(1)
  expect(session.usable).toBe(true)
})

test('a challenge nobody expects is cancelled', async () => {
  const { server, session } = await open({
    answer: (c) => (c.startsWith('AUTH PLAIN ') ? '334 more' : c === '(sasl)' ? '501 5.7.0 cancelled' : undefined),
  })
  expect(await rejection(session.login(PASSWORD))).toMatchObject({ evidence: '501 5.7.0 cancelled' })
  expect(server.seen.commands.at(-1)).toBe('*')
})

test('challenges without end close the connection', async () => {
  const { server, session } = await open({
    answer: (c) => (c === '(sasl)' || c.startsWith('AUTH') ? '334 more' : undefined),
  })
  expect(await rejection(session.login(PASSWORD))).toMatchObject({ name: 'Failure', step: 'auth' })
  expect(session.usable).toBe(false)
  await server.waitFor(() => server.seen.open === 0)
})

test.each([
  ['close', { end: 'close' as const }, 'ECONNRESET'],
  ['reset', { end: 'reset' as const }, 'ECONNRESET'],
  ['half a reply', { raw: '535 5.7.', end: 'close' as const }, 'ECONNRESET'],
  ['nonsense', { raw: 'whatever\r\n' }, 'EPROTOCOL'],
])('%s during AUTH is not a refusal of the credentials', async (_name, answer, code) => {
  const { session } = await open({ answer: (c) => (c.startsWith('AUTH') ? answer : undefined) })
  expect(await rejection(session.login(PASSWORD))).toMatchObject({ name: 'Failure', step: 'auth', cause: { code } })
  expect(session.usable).toBe(false)
})

test('the transcript shows the dialogue and none of the secrets, even if the server echoes them', async () => {
  const token = 'EwB4A8l6BAAUkj1NuJYtTVha'
  const { session } = await open({
    security: 'starttls',
    answer: (c) => (c.startsWith('AUTH') ? `555 5.5.2 Syntax error: ${c} ${token}` : undefined),
  })
  const failure = await rejection(session.login(xoauth2(token)))
  const seen = JSON.stringify([session.transcript, failure, String(failure)])
  expect(seen).not.toContain(token)
  expect(seen).not.toMatch(/dXNlcj1|RXdCNEE4/)
  expect(session.transcript).toEqual([
    'S: 220 scripted ESMTP',
    'C: EHLO client.example.test',
    expect.stringMatching(/^S: 250-localhost$/),
    ...session.transcript.slice(3, 8),
    'S: 250 STARTTLS',
    'C: STARTTLS',
    'S: 220 go ahead',
    'C: EHLO client.example.test',
    ...session.transcript.slice(12, 18),
    'C: AUTH XOAUTH2 ***',
    'S: 555 5.5.2 Syntax error: AUTH XOAUTH2 *** ***',
  ])
})

test('neither side of a SASL exchange is in the transcript', async () => {
  const { session } = await open({
    extensions: ['AUTH LOGIN'],
    answer: (c) => (c.startsWith('AUTH') ? '334 VXNlcm5hbWU6' : undefined),
  })
  await session.login(PASSWORD)
  expect(session.transcript.slice(-4)).toEqual(['C: AUTH LOGIN', 'S: 334 ***', 'C: ***', 'S: 235 2.7.0 welcome'])
})

test('the transcript is bounded and shows no control characters', async () => {
  const lines = Array.from({ length: 300 }, (_, index) => `250-X${index}\x07\x1b[2J${'y'.repeat(900)}\r\n`)
  const { session } = await open({
    answer: (c) => (c.startsWith('EHLO') ? { raw: `${lines.slice(0, 60).join('')}250 ok\r\n` } : undefined),
  })
  expect(session.transcript.length).toBeLessThanOrEqual(100)
  expect(Math.max(...session.transcript.map((line) => line.length))).toBeLessThanOrEqual(500)
  expect(session.transcript.join('')).not.toMatch(/\p{Cc}/u)
})

test('turning the signal closes the session at once', async () => {
  const { server, session, abort } = await open({ answer: (c) => (c.startsWith('AUTH') ? {} : undefined) })
  const login = rejection(session.login(PASSWORD))
  await server.waitFor(() => server.seen.commands.length === 2)
  abort()
  expect(await login).toMatchObject({ name: 'Failure', step: 'auth', cause: { code: 'ABORT_ERR' } })
  expect(session.usable).toBe(false)
  await server.waitFor(() => server.seen.open === 0)
})

test.each(['none', 'starttls'] as const)(
  'turning the signal while the session opens closes it (%s)',
  async (security) => {
    const server = await serve({ security, answer: (c) => (c.startsWith('EHLO') ? {} : undefined) })
    const controller = new AbortController()
    const opening = rejection(openTo(server, { signal: controller.signal }))
    await server.waitFor(() => server.seen.commands.length === 1)
    controller.abort()
    expect(await opening).toMatchObject({ name: 'Failure', step: 'ehlo', cause: { code: 'ABORT_ERR' } })
    await server.waitFor(() => server.seen.open === 0)
  },
)

test('an idle connection the server closes is no longer usable, and says so when used', async () => {
  const { session } = await open({
    answer: (c) => (c.startsWith('AUTH') ? { raw: '235 ok\r\n421 4.4.2 idle\r\n', end: 'close' } : undefined),
  })
  await session.login(PASSWORD)
  expect(await rejection(session.login(PASSWORD))).toMatchObject({ name: 'Failure', evidence: '421 4.4.2 idle' })
  expect(session.usable).toBe(false)
})

test('quit says goodbye, and does not wait for a server that does not answer', async () => {
  const polite = await open()
  await polite.session.quit()
  expect(polite.server.seen.commands.at(-1)).toBe('QUIT')
  expect(polite.session.usable).toBe(false)
  const { server, session } = await open(
    { answer: (c) => (c === 'QUIT' ? {} : undefined) },
    { timeouts: { quitMs: 20 } },
  )
  await session.quit()
  await server.waitFor(() => server.seen.open === 0)
  await session.quit()
  session.close()
})

test('an internationalised client name is said in ASCII', async () => {
  const { server } = await open({}, { clientName: 'münchen.test' })
  expect(server.seen.commands).toEqual(['EHLO xn--mnchen-3ya.test'])
})

test.each(['', 'a b', 'x\r\nRSET', 'ü b'])(
  'a client name that cannot be said in EHLO is refused: %j',
  async (clientName) => {
    const server = await serve()
    expect(await rejection(openTo(server, { clientName }))).toBeInstanceOf(UserError)
    expect(server.seen.connections).toBe(0)
  },
)
