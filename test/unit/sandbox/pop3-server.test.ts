import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Provider } from '../../../src/base/failure.ts'
import type { LineServer } from '../../../src/sandbox/line-server.ts'
import { type Mailbox, makeMailbox, type Pop3Step } from '../../../src/sandbox/mailbox.ts'
import { makePki, type Pki } from '../../../src/sandbox/pki.ts'
import { type Pop3Event, startPop3Server } from '../../../src/sandbox/pop3-server.ts'
import type { TokenFacts } from '../../../src/sandbox/sasl.ts'
import { Script } from '../../../src/sandbox/scenario.ts'
import { plain, RawClient, xoauth2 } from './raw-client.ts'

const EMAIL = 'info@muster.example'
const CATCH_ALL = '-ERR Authentication failure: unknown user name or bad password.'
const inAnHour = (): Date => new Date(Date.now() + 3_600_000)

let pki: Pki
const open: { close(): Promise<void> }[] = []

beforeAll(async () => {
  pki = await makePki()
})
afterEach(async () => {
  for (const resource of open.splice(0).reverse()) await resource.close()
})

interface Rig {
  readonly server: LineServer
  readonly mailbox: Mailbox
  readonly script: Script<Pop3Step>
  readonly events: Pop3Event[]
  readonly client: (how?: 'tls' | 'plain') => Promise<RawClient>
  /** A session that is logged in, its greeting read. */
  readonly session: (user?: string) => Promise<RawClient>
}

async function rig(provider: Provider, tokens: Record<string, Partial<TokenFacts>> = { good: {} }): Promise<Rig> {
  const mailbox = makeMailbox(EMAIL, provider, provider === 'generic' ? 'geheim' : undefined)
  const script = new Script<Pop3Step>()
  const events: Pop3Event[] = []
  const permission = provider === 'google' ? 'https://mail.google.com/' : 'POP.AccessAsUser.All'
  const server = await startPop3Server({
    tls: { key: pki.keyPem, cert: pki.certPem },
    provider,
    mailbox: (email) => (email === EMAIL ? mailbox : undefined),
    checkToken: (token) =>
      tokens[token] && { email: EMAIL, scopes: [permission], expiresAt: inAnHour(), ...tokens[token] },
    script,
    report: (event) => events.push(event),
  })
  open.push(server)
  const client = async (how: 'tls' | 'plain' = 'tls'): Promise<RawClient> => {
    const made = await (how === 'tls'
      ? RawClient.connect(server.tlsPort, pki.caPem)
      : RawClient.connect(server.upgradePort))
    open.push(made)
    return made
  }
  return {
    server,
    mailbox,
    script,
    events,
    client,
    async session(user = EMAIL) {
      const made = await client()
      await made.line()
      expect(await made.pop3('AUTH XOAUTH2')).toBe('+ ')
      expect(await made.pop3(xoauth2(user, 'good'))).toMatch(/^\+OK/)
      return made
    },
  }
}

async function capabilities(client: RawClient): Promise<string[]> {
  expect(await client.pop3('CAPA')).toBe('+OK')
  return client.untilDot()
}

describe('as Exchange Online', () => {
  test('it announces neither pipelining nor response codes', async () => {
    const client = await (await rig('microsoft')).client()
    expect(await client.line()).toMatch(/^\+OK The Microsoft Exchange POP3 service is ready\. \[/)
    expect(await capabilities(client)).toEqual(['TOP', 'UIDL', 'SASL PLAIN XOAUTH2', 'USER'])
  })

  test('a login in two lines is accepted, one in a single line ends the connection', async () => {
    const { client, session } = await rig('microsoft')
    await session()
    const oneLine = await client()
    await oneLine.line()
    expect(await oneLine.pop3(`AUTH XOAUTH2 ${xoauth2(EMAIL, 'good')}`)).toBe(
      '-ERR Protocol error. Connection is closed. 10',
    )
    expect(await oneLine.rest()).toBe('')
  })

  test.each<[string, Record<string, Partial<TokenFacts>>]>([
    ['an unknown token', {}],
    ['an expired token', { good: { expiresAt: new Date(Date.now() - 1) } }],
    ["another user's token", { good: { email: 'chef@muster.example' } }],
    ['a token that may only send', { good: { scopes: ['SMTP.Send'] } }],
    ['a token for another resource', { good: { scopes: [] } }],
  ])('%s is refused with the one text that says nothing', async (_what, tokens) => {
    const client = await (await rig('microsoft', tokens)).client()
    await client.line()
    await client.pop3('AUTH XOAUTH2')
    expect(await client.pop3(xoauth2(EMAIL, 'good'))).toBe(CATCH_ALL)
  })

  test('a mailbox with POP switched off is refused with the same text, and the reason is on record', async () => {
    const { client, mailbox, events } = await rig('microsoft')
    mailbox.pop3Enabled = false
    const refused = await client()
    await refused.line()
    await refused.pop3('AUTH XOAUTH2')
    expect(await refused.pop3(xoauth2(EMAIL, 'good'))).toBe(CATCH_ALL)
    expect(events).toEqual([{ type: 'login', protocol: 'pop3', email: EMAIL, verdict: 'protocol-disabled' }])
  })

  test('a password is refused, a token line above 4096 characters ends the connection', async () => {
    const { client } = await rig('microsoft')
    const refused = await client()
    await refused.line()
    await refused.pop3(`USER ${EMAIL}`)
    expect(await refused.pop3('PASS geheim')).toBe('-ERR Logon failure: unknown user name or bad password.')
    const long = await client()
    await long.line()
    await long.pop3('AUTH XOAUTH2')
    expect(await long.pop3(xoauth2(EMAIL, 'x'.repeat(4_000)))).toBe('-ERR Protocol error. Connection is closed. 10')
  })

  test('commands sent ahead are refused, since pipelining was not announced', async () => {
    const client = await (await rig('microsoft')).session()
    client.write('STAT\r\nLIST\r\n')
    expect(await client.line()).toBe('-ERR Protocol error. Connection is closed. 10')
  })

  test('a mailbox shared with the owner of the token opens', async () => {
    const { session, mailbox } = await rig('microsoft', { good: { email: 'Chef@muster.example' } })
    mailbox.delegates.add('chef@muster.example')
    expect(await (await session()).pop3('STAT')).toBe('+OK 0 0')
  })
})

describe('as Gmail', () => {
  test('it announces response codes, the minimum between logins and that mail may not stay', async () => {
    const client = await (await rig('google')).client()
    expect(await client.line()).toMatch(/^\+OK Gpop ready/)
    expect(await capabilities(client)).toEqual(expect.arrayContaining(['RESP-CODES', 'EXPIRE 0', 'LOGIN-DELAY 300']))
  })

  test('a refused token brings a challenge first and the error after an empty line', async () => {
    const client = await (await rig('google', {})).client()
    await client.line()
    await client.pop3('AUTH XOAUTH2')
    const challenge = await client.pop3(xoauth2(EMAIL, 'good'))
    expect(JSON.parse(Buffer.from(challenge.slice(2), 'base64').toString())).toEqual({
      status: '400',
      schemes: 'Bearer',
      scope: 'https://mail.google.com/',
    })
    expect(await client.pop3('')).toBe('-ERR [AUTH] Invalid credentials.')
  })

  test('anything else after the challenge is a bad command', async () => {
    const client = await (await rig('google', {})).client()
    await client.line()
    await client.pop3('AUTH XOAUTH2')
    await client.pop3(xoauth2(EMAIL, 'good'))
    expect(await client.pop3('STAT')).toBe('-ERR bad command')
  })

  test('POP switched off shows only at STAT, after a good login', async () => {
    const { session, mailbox } = await rig('google')
    mailbox.pop3Enabled = false
    expect(await (await session()).pop3('STAT')).toMatch(
      /^-ERR \[SYS\/PERM\] Your account is not enabled for POP access\./,
    )
  })

  test('a session lists the oldest 250, the next one what has not been retrieved, and "recent:" all again', async () => {
    const { session, mailbox } = await rig('google')
    for (let n = 0; n < 260; n++) mailbox.maildrop.deliver(Buffer.from(`Subject: ${n}\r\n\r\n`), `u${n}`)
    const first = await session()
    expect(await first.pop3('STAT')).toMatch(/^\+OK 250 /)
    await first.pop3('RETR 1')
    await first.untilDot()
    expect(await first.pop3('QUIT')).toBe('+OK Farewell.')
    expect(await (await session()).pop3('UIDL 1')).toBe('+OK 1 u1')
    await open.pop()?.close()
    await expect.poll(() => mailbox.maildrop.sessions).toBe(0)
    expect(await (await session(`recent:${EMAIL}`)).pop3('UIDL 1')).toBe('+OK 1 u0')
  })
})

describe('as Dovecot', () => {
  test('before STLS no password is taken, after it the login works', async () => {
    const { client, events } = await rig('generic')
    const upgraded = await client('plain')
    expect(await upgraded.line()).toBe('+OK Dovecot ready.')
    expect(await capabilities(upgraded)).toContain('STLS')
    expect(await upgraded.pop3(`USER ${EMAIL}`)).toMatch(/^-ERR \[AUTH\] Plaintext authentication disallowed/)
    expect(await upgraded.pop3('STLS')).toMatch(/^\+OK/)
    await upgraded.startTls(pki.caPem)
    expect(await capabilities(upgraded)).toEqual(expect.arrayContaining(['USER', 'PIPELINING', 'RESP-CODES']))
    await upgraded.pop3(`USER ${EMAIL}`)
    expect(await upgraded.pop3('PASS geheim')).toBe('+OK Logged in.')
    expect(events).toMatchObject([{ verdict: 'accepted' }])
  })

  test('what was sent behind STLS in plain text is thrown away', async () => {
    const { client, mailbox } = await rig('generic')
    const upgraded = await client('plain')
    await upgraded.line()
    upgraded.write(`STLS\r\nUSER ${EMAIL}\r\nPASS geheim\r\n`)
    expect(await upgraded.line()).toMatch(/^\+OK/)
    await upgraded.startTls(pki.caPem)
    expect(await upgraded.pop3('STAT')).toBe('-ERR Unknown command.')
    expect(mailbox.maildrop.sessions).toBe(0)
  })

  test('a wrong password is refused, a right one by SASL PLAIN in one line accepted', async () => {
    const client = await (await rig('generic')).client()
    await client.line()
    expect(await client.pop3(`AUTH PLAIN ${plain(EMAIL, 'falsch')}`)).toBe('-ERR [AUTH] Authentication failed.')
    expect(await client.pop3(`AUTH PLAIN ${plain(EMAIL, 'geheim')}`)).toBe('+OK Logged in.')
  })

  test('pipelined commands are answered in order', async () => {
    const { session, mailbox } = await rig('generic')
    mailbox.maildrop.deliver(Buffer.from('Subject: a\r\n\r\n'), 'a')
    mailbox.maildrop.deliver(Buffer.from('Subject: b\r\n\r\n'), 'b')
    const client = await session()
    client.write('UIDL 1\r\nUIDL 2\r\nUIDL 3\r\nNOOP\r\n')
    const answers = [await client.line(), await client.line(), await client.line(), await client.line()]
    expect(answers).toEqual(['+OK 1 a', '+OK 2 b', "-ERR There's no message 3.", '+OK'])
  })

  test('a second session finds the maildrop locked until the first has gone', async () => {
    const { session, client, mailbox } = await rig('generic')
    const first = await session()
    const second = await client()
    await second.line()
    const login = `AUTH PLAIN ${plain(EMAIL, 'geheim')}`
    expect(await second.pop3(login)).toBe('-ERR [IN-USE] Mailbox is locked by another POP3 session.')
    await first.close()
    await expect.poll(() => mailbox.maildrop.sessions).toBe(0)
    expect(await second.pop3(login)).toBe('+OK Logged in.')
  })
})

describe('a maildrop', () => {
  test('hands out messages byte for byte, lines of dots included', async () => {
    const { session, mailbox } = await rig('generic')
    const raw = Buffer.from('Subject: Punkte\r\n\r\n.\r\n..\r\n.a\r\nGr\xfc\xdfe\r\nohne Ende', 'latin1')
    mailbox.maildrop.deliver(raw)
    const client = await session()
    expect(await client.pop3('RETR 1')).toBe(`+OK ${raw.length} octets`)
    const lines = await client.untilDot()
    expect(lines.map((line) => line.replace(/^\./, '')).join('\r\n')).toBe(raw.toString('latin1'))
    expect(await client.pop3('TOP 1 1')).toBe('+OK')
    expect(await client.untilDot()).toEqual(['Subject: Punkte', '', '..'])
  })

  test('loses a deleted message at QUIT and not before', async () => {
    const { session, mailbox, events } = await rig('generic')
    mailbox.maildrop.deliver(Buffer.from('Subject: a\r\n\r\n'), 'a')
    mailbox.maildrop.deliver(Buffer.from('Subject: b\r\n\r\n'), 'b')
    const lost = await session()
    expect(await lost.pop3('DELE 1')).toMatch(/^\+OK/)
    expect(await lost.pop3('RETR 1')).toMatch(/^-ERR/)
    await lost.close()
    await expect.poll(() => mailbox.maildrop.sessions).toBe(0)
    expect(mailbox.maildrop.list()).toHaveLength(2)

    const kept = await session()
    await kept.pop3('DELE 1')
    await kept.pop3('RSET')
    await kept.pop3('DELE 2')
    expect(await kept.pop3('STAT')).toMatch(/^\+OK 1 /)
    expect(await kept.pop3('QUIT')).toBe('+OK Logging out, messages deleted.')
    expect(mailbox.maildrop.list().map(({ uidl }) => uidl)).toEqual(['a'])
    expect(events.filter(({ type }) => type === 'deleted')).toEqual([{ type: 'deleted', email: EMAIL, uidl: 'b' }])
  })

  test('gets new UIDLs when it is renumbered, and other ones in every run', () => {
    const [one, other] = [makeMailbox(EMAIL, 'microsoft').maildrop, makeMailbox(EMAIL, 'microsoft').maildrop]
    const before = one.deliver(Buffer.from('a')).uidl
    const elsewhere = other.deliver(Buffer.from('a')).uidl
    one.renumber()
    expect(new Set([before, elsewhere, one.list()[0]?.uidl]).size).toBe(3)
  })

  test('is tidied of retrieved messages only', () => {
    const { maildrop } = makeMailbox(EMAIL, 'generic')
    for (const uidl of ['a', 'b', 'c', 'd']) maildrop.deliver(Buffer.from(uidl), uidl)
    for (const mail of maildrop.list().slice(1, 3)) mail.retrieved = true
    maildrop.tidy(3)
    expect(maildrop.list().map(({ uidl }) => uidl)).toEqual(['a', 'c', 'd'])
    maildrop.tidy(1)
    expect(maildrop.list().map(({ uidl }) => uidl)).toEqual(['a', 'd'])
  })
})

describe('scripted misbehaviour', () => {
  test('a garbage greeting comes instead of the greeting, once', async () => {
    const { script, client } = await rig('generic')
    script.on('greeting', { bytes: Buffer.from('SSH-2.0-x\r\n'), cut: 'after-reply', times: 1 })
    expect(await (await client()).rest()).toBe('SSH-2.0-x\r\n')
    expect(await (await client()).line()).toBe('+OK Dovecot ready.')
  })

  test('a scripted reply replaces the command: a refused QUIT deletes nothing', async () => {
    const { session, mailbox } = await rig('generic')
    mailbox.maildrop.deliver(Buffer.from('Subject: a\r\n\r\n'))
    mailbox.pop3Script.on('quit', { reply: '-ERR [SYS/TEMP] Some deleted messages not removed' })
    const client = await session()
    await client.pop3('DELE 1')
    expect(await client.pop3('QUIT')).toBe('-ERR [SYS/TEMP] Some deleted messages not removed')
    expect(await client.rest()).toBe('')
    expect(mailbox.maildrop.size).toBe(1)
  })

  test('a connection cut before the reply to QUIT leaves the messages deleted and the client in the dark', async () => {
    const { session, mailbox } = await rig('generic')
    mailbox.maildrop.deliver(Buffer.from('Subject: a\r\n\r\n'))
    mailbox.pop3Script.on('quit', { cut: 'before-reply' })
    const client = await session()
    await client.pop3('DELE 1')
    await expect(client.pop3('QUIT')).rejects.toThrow('connection closed')
    expect(mailbox.maildrop.size).toBe(0)
  })

  test('one message of many cannot be retrieved, and a message is cut after so many bytes', async () => {
    const { session, mailbox } = await rig('generic')
    for (const uidl of ['a', 'b', 'c']) mailbox.maildrop.deliver(Buffer.from('Subject: x\r\n\r\n'), uidl)
    mailbox.pop3Script.on('retr', { match: /^RETR 2$/, reply: '-ERR [SYS/PERM] Message is damaged' })
    mailbox.pop3Script.on('retr', { match: /^RETR 3$/, cutAfterBytes: 20 })
    const client = await session()
    expect(await client.pop3('RETR 1')).toMatch(/^\+OK/)
    await client.untilDot()
    expect(await client.pop3('RETR 2')).toBe('-ERR [SYS/PERM] Message is damaged')
    expect(await client.pop3('RETR 3')).toBe('+OK 14 octets')
    expect(await client.rest()).toBe('Subje')
  })

  test('commands sent ahead of a cut are not carried out', async () => {
    const { session, mailbox } = await rig('generic')
    mailbox.maildrop.deliver(Buffer.from('Subject: a\r\n\r\n'))
    mailbox.pop3Script.on('noop', { cut: 'after-reply' })
    const client = await session()
    client.write('DELE 1\r\nNOOP\r\nQUIT\r\n')
    expect(await client.rest()).toBe('+OK Marked to be deleted.\r\n+OK\r\n')
    expect(mailbox.maildrop.size).toBe(1)
  })

  test('a dripping reply arrives whole, and a hanging one ends when the client goes', async () => {
    const { session, mailbox, server } = await rig('generic')
    mailbox.pop3Script.on('stat', { dripMs: 1 }).on('noop', { hang: true })
    const client = await session()
    expect(await client.pop3('STAT')).toBe('+OK 0 0')
    client.write('NOOP\r\n')
    await client.close()
    await expect.poll(() => server.connections()).toBe(0)
  })

  test('a scripted refusal at login leaves the credentials unjudged', async () => {
    const { client, mailbox, events } = await rig('generic')
    mailbox.pop3Script.on('auth', { reply: '-ERR [SYS/TEMP] Temporary authentication failure.', times: 1 })
    const refused = await client()
    await refused.line()
    const login = `AUTH PLAIN ${plain(EMAIL, 'geheim')}`
    expect(await refused.pop3(login)).toBe('-ERR [SYS/TEMP] Temporary authentication failure.')
    expect(events).toEqual([])
    expect(await refused.pop3(login)).toBe('+OK Logged in.')
  })
})

test('close ends open sessions at once and leaves no connection, not even one that never finished its handshake', async () => {
  const { server, session, script, client } = await rig('generic')
  const waiting = await session()
  const half = await RawClient.connect(server.tlsPort)
  script.on('greeting', { delayMs: 60_000 })
  const delayed = await client('plain')
  await server.close()
  expect(server.connections()).toBe(0)
  expect(await Promise.all([waiting.rest(), half.rest(), delayed.rest()])).toEqual(['', '', ''])
  open.splice(0)
})
