import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makePki, type Pki } from '../../support/pki.ts'
import { bytewise, cutAt, type PopScript } from '../../support/scripted-pop3.ts'
import { connect, failureOf, open, serve } from './open.ts'

const TOKEN = { mechanism: 'xoauth2', username: 'anna@example.com', accessToken: 'eyJ0b2tlbi1mb3ItdGVzdHM' } as const
const PASSWORD = { mechanism: 'password', username: 'anna', password: 'correct horse' } as const
const REPORT = '{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}'
const CHALLENGE = `+ ${Buffer.from(REPORT).toString('base64')}`
const mail = (text: string) => Buffer.from(text, 'latin1')

let pki: Pki
beforeAll(async () => {
  pki = await makePki()
})
afterAll(() => pki.stop())

describe('a login with a token', () => {
  test('takes two lines and nothing else', async () => {
    const { server, session } = await open({})
    await session.login(TOKEN)
    const response = Buffer.from(`user=${TOKEN.username}\x01auth=Bearer ${TOKEN.accessToken}\x01\x01`).toString(
      'base64',
    )
    expect(server.seen.commands).toEqual(['AUTH XOAUTH2', response])
  })

  test.each(['+ ', '+', '+OK'])('goes on after "%s"', async (go) => {
    const { session } = await open({ answer: (line) => (line === 'AUTH XOAUTH2' ? { raw: `${go}\r\n` } : undefined) })
    // the scripted server cannot tell a response line from a command after '+': it says +OK to both
    await session.login(TOKEN)
    expect(await session.stat()).toMatchObject({ count: 0 })
  })

  test('takes a challenge after the token for a refusal, and shows what it says', async () => {
    const { server, session } = await open({
      answer: (line) => {
        if (line === '(sasl)' && server.seen.commands.at(-1) !== '') return CHALLENGE
        return line === '(sasl)' ? '-ERR [AUTH] Invalid credentials.' : undefined
      },
    })
    const failure = await failureOf(session.login(TOKEN))
    expect(failure).toMatchObject({ stage: 'pop3', step: 'auth' })
    expect(failure.evidence).toContain('-ERR [AUTH] Invalid credentials.')
    expect(failure.evidence).toContain(REPORT)
    expect(server.seen.commands.at(-1)).toBe('')
  })

  test('is refused although the server says +OK after such a challenge', async () => {
    const { server, session } = await open({
      answer: (line) => (line === '(sasl)' && server.seen.commands.at(-1) !== '' ? CHALLENGE : undefined),
    })
    expect((await failureOf(session.login(TOKEN))).evidence).toContain('although the token was refused')
  })

  test('keeps what the challenge said when the server hangs up after it', async () => {
    const { server, session } = await open({
      answer: (line) => {
        if (line !== '(sasl)') return undefined
        return server.seen.commands.at(-1) === '' ? { hangUp: 'close' } : CHALLENGE
      },
    })
    const failure = await failureOf(session.login(TOKEN))
    expect(failure.step).toBe('auth')
    expect(failure.evidence).toContain('"status":"400"')
  })

  test('never shows the token, even where the server repeats it', async () => {
    const { session } = await open({
      answer: (line) => {
        if (line !== '(sasl)') return undefined
        const sent = Buffer.from(`user=${TOKEN.username}\x01auth=Bearer ${TOKEN.accessToken}\x01\x01`).toString(
          'base64',
        )
        return `-ERR unknown command ${sent} ${TOKEN.accessToken}`
      },
    })
    const failure = await failureOf(session.login(TOKEN))
    expect(failure.evidence).toBe('-ERR unknown command *** ***')
    expect(failure.message).not.toContain(TOKEN.accessToken)
  })
})

describe('a login with a password', () => {
  test('says USER and PASS', async () => {
    const { server, session } = await open({})
    await session.login(PASSWORD)
    expect(server.seen.commands).toEqual(['USER anna', 'PASS correct horse'])
  })

  test('never shows the password, even a short one', async () => {
    const { session } = await open({
      answer: (line) => (line.startsWith('PASS') ? `-ERR what is ${line}?` : undefined),
    })
    const failure = await failureOf(session.login({ ...PASSWORD, password: 'abc' }))
    expect(failure).toMatchObject({ step: 'auth', evidence: '-ERR what is PASS ***' })
  })

  test.each([
    { ...PASSWORD, username: 'anna\r\nDELE 1' },
    { ...PASSWORD, password: 'a\nDELE 1' },
    { ...PASSWORD, password: 'a\0b' },
    { ...PASSWORD, username: '' },
    { ...TOKEN, username: 'anna\x01auth=Bearer other' },
    { ...TOKEN, username: 'anna\rx' },
    { ...TOKEN, accessToken: 'abc\r\nDELE 1' },
  ])('sends nothing of credentials that would break out of their line: %j', async (login) => {
    const { server, session } = await open({})
    const failure = await failureOf(session.login(login))
    expect(failure).toMatchObject({ step: 'auth', verdict: { persistence: 'human' } })
    expect(failure.evidence).not.toContain('DELE')
    expect(server.seen.commands).toEqual([])
  })
})

describe('capabilities', () => {
  test.each<[string, PopScript['answer']]>([
    ['refused', (line) => (line === 'CAPA' ? '-ERR unknown command' : undefined)],
    ['nonsense', (line) => (line === 'CAPA' ? '500 what?' : undefined)],
    ['a list of nonsense', (line) => (line === 'CAPA' ? { raw: '+OK\r\n\x00\xff\r\n\r\n \r\n.\r\n' } : undefined)],
  ])('are none where the answer is %s, and the session goes on', async (_name, answer) => {
    const { session } = await open({ answer: answer!, messages: [mail('a\r\n')] })
    expect([...(await session.capabilities())]).toEqual([])
    expect(await session.stat()).toEqual({ count: 1, sizeBytes: 3 })
  })

  test('are asked for once, when they are first needed, and again after the login', async () => {
    const { server, session } = await open({ messages: [mail('a\r\n'), mail('b\r\n')] })
    const [first, again] = await Promise.all([session.capabilities(), session.capabilities()])
    expect(again).toBe(first)
    await session.login(PASSWORD)
    await session.stat()
    await session.uidlOf(2)
    expect(server.seen.commands.slice(1)).toEqual(['USER anna', 'PASS correct horse', 'STAT', 'UIDL 2'])
    await session.dele([1, 2])
    await session.dele([2, 1])
    expect(server.seen.commands.filter((command) => command === 'CAPA')).toHaveLength(2)
    const capabilities = await session.capabilities()
    expect(capabilities.get('LOGIN-DELAY')).toEqual(['300'])
    expect(capabilities.get('EXPIRE')).toEqual(['60'])
    expect(capabilities.get('SASL')).toEqual(['PLAIN', 'XOAUTH2'])
    expect(capabilities.has('PIPELINING')).toBe(true)
  })

  test('are none where the server knows CAPA only before the login, and nothing is pipelined', async () => {
    let loggedIn = false
    const { server, session } = await open({
      messages: [mail('a\r\n'), mail('b\r\n')],
      answer: (line) => {
        loggedIn ||= line.startsWith('PASS')
        return line === 'CAPA' && loggedIn ? '-ERR not now' : undefined
      },
    })
    await session.login(PASSWORD)
    const reading = session.retrieve([1, 2])
    await reading.next()
    expect(server.seen.commands.slice(-2)).toEqual(['CAPA', 'RETR 1'])
    await reading.return()
    expect((await session.capabilities()).size).toBe(0)
  })
})

describe('STLS', () => {
  const tls = () => ({ cert: pki.cert, key: pki.key })

  test('comes before everything else, and the login is encrypted', async () => {
    const { server, session } = await open({ security: 'starttls', tls: tls() }, { ca: pki.ca })
    await session.login(PASSWORD)
    expect(server.seen.commands).toEqual(['STLS', 'USER anna', 'PASS correct horse'])
    expect(server.seen.plaintext).not.toContain('PASS')
  })

  test('works where every byte of the server comes alone', async () => {
    const { session } = await open({ security: 'starttls', tls: tls(), cut: bytewise }, { ca: pki.ca })
    expect(await session.stat()).toEqual({ count: 0, sizeBytes: 0 })
  })

  test('refused is a failure, never plaintext', async () => {
    const answer: PopScript['answer'] = (line) =>
      line === 'STLS' ? '-ERR Command is not valid in this state.' : undefined
    const server = await serve({ security: 'starttls', answer })
    const failure = await failureOf(connect(server))
    expect(failure).toMatchObject({ step: 'tls', evidence: '-ERR Command is not valid in this state.' })
    expect(server.seen.commands).toEqual(['STLS'])
  })

  test.each(['+OK begin TLS\r\n+OK injected\r\n', '+OK begin TLS\r\n+OK inj', '+OK begin TLS\r\n-ERR injected\r\n'])(
    'with a reply slipped in before TLS is a failure, and nothing more is sent: %j',
    async (raw) => {
      const server = await serve({
        security: 'starttls',
        tls: tls(),
        answer: (line) => (line === 'STLS' ? { raw } : undefined),
      })
      const failure = await failureOf(connect(server, { ca: pki.ca }))
      expect(failure).toMatchObject({ step: 'tls' })
      expect(failure.evidence).toContain('before TLS was up')
      await server.waitFor(() => server.seen.open === 0)
      expect(server.seen.plaintext).toBe('STLS\r\n')
    },
  )

  test('with a certificate nobody vouches for is a failure, before any login', async () => {
    const server = await serve({ security: 'starttls', tls: tls() })
    const failure = await failureOf(connect(server))
    expect(failure.step).toBe('tls')
    expect(failure.evidence).toContain('not issued by an authority')
  })
})

describe('TLS from the first byte', () => {
  test('works', async () => {
    const { session } = await open({ security: 'tls', tls: { cert: pki.cert, key: pki.key } }, { ca: pki.ca })
    await session.login(TOKEN)
    expect(await session.quit()).toBe(true)
  })

  test('against a server that greets in plaintext names the host and keeps the code', async () => {
    const plain = await serve({})
    const server = { ...plain, target: { ...plain.target, security: 'tls' as const } }
    const failure = await failureOf(connect(server))
    expect(failure).toMatchObject({ stage: 'pop3', step: 'tls', cause: { code: expect.stringMatching(/^ERR_SSL_/) } })
    expect(failure.evidence).toContain(`localhost:${server.target.port}`)
  })
})

describe('the commands of a session', () => {
  const messages = [mail('Subject: a\r\n\r\none\r\n'), mail('Subject: b\r\n\r\n.two\r\n')]

  test.each<[string, PopScript]>([
    ['at once', {}],
    ['bytewise', { cut: bytewise }],
    ['merged', { merge: true }],
    ['cut after the first byte', { cut: cutAt(1) }],
    ['cut before the last', { cut: cutAt(-1) }],
  ])('give the same answers when they come %s', async (_name, script) => {
    const { session } = await open({ ...script, messages })
    await session.login(PASSWORD)
    expect(await session.stat()).toEqual({ count: 2, sizeBytes: messages[0]!.length + messages[1]!.length })
    expect([...(await session.uidls())]).toEqual([
      { number: 1, uidl: 'uid-1' },
      { number: 2, uidl: 'uid-2' },
    ])
    expect([...(await session.sizesOf([1, 2]))]).toEqual(messages.map(({ length }, i) => [i + 1, length]))
    expect(await session.dele([1, 2])).toEqual({ deleted: [1, 2], refused: [] })
    await session.reset()
    expect(await session.quit()).toBe(true)
  })

  test('inherited from node-pop3 work, also several at once', async () => {
    const { server, session } = await open({ messages })
    const [stat, , uidl, one, list, text] = await Promise.all([
      session.STAT(),
      session.NOOP(),
      session.UIDL(),
      session.RETR(2),
      session.LIST(),
      session.TOP(1, 0),
    ])
    expect(stat).toBe(`2 ${messages[0]!.length + messages[1]!.length}`)
    expect(uidl).toEqual([
      ['1', 'uid-1'],
      ['2', 'uid-2'],
    ])
    expect([one, text]).toEqual([messages[1]!.toString(), messages[0]!.toString()])
    expect(list).toHaveLength(2)
    expect(server.seen.commands).toEqual(['STAT', 'NOOP', 'UIDL', 'RETR 2', 'LIST', 'TOP 1 0'])
    await expect(session.RETR(9)).rejects.toThrow("There's no message 9")
    await expect(session.command('NOOP\r\nDELE 1')).rejects.toThrow('one line')
    await expect(session.connect()).rejects.toThrow('PopSession.open')
    expect([session.listenerCount('response'), session.listenerCount('error')]).toEqual([0, 0])
    expect(server.seen.commands).not.toContain('DELE 1')
  })

  test('asked for at the same time are sent one after the other and get their own answers', async () => {
    const { session } = await open({ messages })
    const [stat, sizes, uidls] = await Promise.all([session.stat(), session.sizesOf([1, 2]), session.uidls()])
    expect([stat.count, sizes.size, uidls.length]).toEqual([2, 2, 2])
  })

  test.each([
    ['+OK 2 b~2', 'b~2'],
    ['+OK 2 with a blank ', 'with a blank'],
    ['+OK', undefined],
    ['+OK nonsense', undefined],
  ])('the UIDL of one message is read from %s', async (reply, uidl) => {
    const { session } = await open({ messages, answer: (line) => (line === 'UIDL 2' ? reply : undefined) })
    expect(await session.uidlOf(2)).toBe(uidl)
  })

  test('UIDL or LIST answered with -ERR is a failure that says so', async () => {
    const { session } = await open({ answer: (line) => (/UIDL|LIST/.test(line) ? '-ERR unknown command' : undefined) })
    expect(await failureOf(session.uidls())).toMatchObject({ flag: 'uidl_not_supported', step: 'uidl' })
    expect(await failureOf(session.sizesOf(Array.from({ length: 300 }, (_, i) => i + 1)))).toMatchObject({
      step: 'list',
      evidence: '-ERR unknown command',
    })
  })

  test('DELE refused for one message leaves the others marked', async () => {
    const { session } = await open({
      messages,
      answer: (line) => (line === 'DELE 2' ? '-ERR message 2 already deleted' : undefined),
    })
    const { deleted, refused } = await session.dele([1, 2, 3])
    expect(deleted).toEqual([1, 3])
    expect(refused).toEqual([{ number: 2, failure: expect.objectContaining({ step: 'dele' }) }])
  })

  test.each<[string, PopScript['answer']]>([
    ['-ERR', (line) => (line === 'QUIT' ? '-ERR some deleted messages not removed' : undefined)],
    ['a hang-up', (line) => (line === 'QUIT' ? { hangUp: 'close' } : undefined)],
    ['nonsense', (line) => (line === 'QUIT' ? 'Bye' : undefined)],
  ])('QUIT is no success where the answer is %s', async (_name, answer) => {
    const { server, session } = await open({ answer: answer! })
    expect(await session.quit()).toBe(false)
    await server.waitFor(() => server.seen.open === 0)
    expect(await session.quit()).toBe(false)
  })

  test('STAT counts where the size is impossible, and fails where there is no count', async () => {
    let said = '+OK 3 -2147483000'
    const { session } = await open({ answer: (line) => (line === 'STAT' ? said : undefined) })
    expect(await session.stat()).toEqual({ count: 3, sizeBytes: 0 })
    said = '+OK many'
    expect(await failureOf(session.stat())).toMatchObject({ step: 'stat' })
  })
})
