import { createHash } from 'node:crypto'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Provider } from '../../../src/base/failure.ts'
import { AcceptedLedger } from '../../../src/sandbox/accepted.ts'
import type { LineServer } from '../../../src/sandbox/line-server.ts'
import { type Mailbox, makeMailbox, type SmtpStep } from '../../../src/sandbox/mailbox.ts'
import { makePki, type Pki } from '../../../src/sandbox/pki.ts'
import type { TokenFacts } from '../../../src/sandbox/sasl.ts'
import { Script } from '../../../src/sandbox/scenario.ts'
import { smtpAuthRefusals } from '../../../src/sandbox/smtp-personality.ts'
import { type SmtpEvent, startSmtpServer } from '../../../src/sandbox/smtp-server.ts'
import { plain, RawClient, xoauth2 } from './raw-client.ts'

const EMAIL = 'info@muster.example'
const MESSAGE = `From: <${EMAIL}>\r\nMessage-ID: <1@muster.example>\r\nSubject: Test\r\n\r\nGrüße\r\n.\r\n..zwei\r\n`
const STUFFED = MESSAGE.replace(/^\./gm, '..')

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
  readonly script: Script<SmtpStep>
  readonly accepted: AcceptedLedger
  readonly events: SmtpEvent[]
  /** A connection over TLS after EHLO. */
  readonly client: () => Promise<RawClient>
  /** Logged in as well. */
  readonly session: () => Promise<RawClient>
}

async function rig(provider: Provider, tokens: Record<string, Partial<TokenFacts>> = { good: {} }): Promise<Rig> {
  const mailbox = makeMailbox(EMAIL, provider, provider === 'generic' ? 'geheim' : undefined)
  const script = new Script<SmtpStep>()
  const accepted = new AcceptedLedger()
  const events: SmtpEvent[] = []
  const scopes = [provider === 'google' ? 'https://mail.google.com/' : 'SMTP.Send']
  const server = await startSmtpServer({
    tls: { key: pki.keyPem, cert: pki.certPem },
    provider,
    mailbox: (email) => (email === EMAIL ? mailbox : undefined),
    checkToken: (token) =>
      tokens[token] && { email: EMAIL, scopes, expiresAt: new Date(Date.now() + 60_000), ...tokens[token] },
    accepted,
    script,
    report: (event) => events.push(event),
  })
  open.push(server)
  const client = async (): Promise<RawClient> => {
    const made = await RawClient.connect(server.tlsPort, pki.caPem)
    open.push(made)
    expect(await made.reply()).toMatch(/^220 /)
    expect(await made.smtp('EHLO client.example')).toMatch(/^250-/)
    return made
  }
  const session = async (): Promise<RawClient> => {
    const made = await client()
    expect(await made.smtp(`AUTH XOAUTH2 ${xoauth2(EMAIL, 'good')}`)).toMatch(/^235 2\.7\.0/)
    return made
  }
  return { server, mailbox, script, accepted, events, client, session }
}

/** One message; returns what the server said to its end. */
async function submit(client: RawClient, recipients: string[], from = EMAIL, message = MESSAGE): Promise<string> {
  expect(await client.smtp(`MAIL FROM:<${from}>`)).toMatch(/^250/)
  for (const recipient of recipients) expect(await client.smtp(`RCPT TO:<${recipient}>`)).toMatch(/^250/)
  expect(await client.smtp('DATA')).toMatch(/^354/)
  return client.smtp(`${message.replace(/^\./gm, '..')}.`)
}

describe('as Exchange Online', () => {
  test('authentication is offered after STARTTLS only', async () => {
    const { server } = await rig('microsoft')
    const client = await RawClient.connect(server.upgradePort)
    open.push(client)
    await client.reply()
    const before = await client.smtp('EHLO client.example')
    expect(before).toContain('250-STARTTLS')
    expect(before).not.toContain('AUTH')
    expect(await client.smtp(`MAIL FROM:<${EMAIL}>`)).toMatch(/^530 5\.7\.0/)
    client.write('STARTTLS\r\nEHLO injected.example\r\n')
    expect(await client.reply()).toMatch(/^220/)
    await client.startTls(pki.caPem)
    const after = await client.smtp('EHLO client.example')
    expect(after.split('\n')).toEqual([
      expect.stringMatching(/^250-.* Hello/),
      '250-SIZE 157286400',
      '250-PIPELINING',
      '250-DSN',
      '250-ENHANCEDSTATUSCODES',
      '250-AUTH LOGIN XOAUTH2',
      '250-8BITMIME',
      '250-BINARYMIME',
      '250-CHUNKING',
      '250 SMTPUTF8',
    ])
  })

  test('nothing is taken from a client that is not logged in', async () => {
    const client = await (await rig('microsoft')).client()
    expect(await client.smtp(`MAIL FROM:<${EMAIL}>`)).toMatch(/^530 5\.7\.57 SMTP; Client was not authenticated/)
  })

  test.each<[string, Record<string, Partial<TokenFacts>>]>([
    ['an unknown token', {}],
    ['an expired token', { good: { expiresAt: new Date(Date.now() - 1) } }],
    ['a token that may only read', { good: { scopes: ['POP.AccessAsUser.All'] } }],
  ])('%s is refused at once, without a challenge', async (_what, tokens) => {
    const client = await (await rig('microsoft', tokens)).client()
    expect(await client.smtp(`AUTH XOAUTH2 ${xoauth2(EMAIL, 'good')}`)).toMatch(
      /^535 5\.7\.3 Authentication unsuccessful \[/,
    )
  })

  test('SMTP AUTH switched off is told with its reason however good the token is', async () => {
    const { client, mailbox } = await rig('microsoft')
    for (const refusal of [smtpAuthRefusals.disabledForTenant(), smtpAuthRefusals.disabledForMailbox()]) {
      mailbox.smtp.authRefusal = refusal
      expect(await (await client()).smtp(`AUTH XOAUTH2 ${xoauth2(EMAIL, 'good')}`)).toBe(refusal)
    }
    expect(smtpAuthRefusals.disabledForTenant()).toContain('SmtpClientAuthentication is disabled for the Tenant.')
    expect(smtpAuthRefusals.disabledForMailbox()).toContain('SmtpClientAuthentication is disabled for the Mailbox.')
  })

  test('basic authentication is disabled, and a mechanism that was not offered is unknown', async () => {
    const client = await (await rig('microsoft')).client()
    expect(await client.smtp('AUTH LOGIN')).toBe('334 VXNlcm5hbWU6')
    expect(await client.smtp(Buffer.from(EMAIL).toString('base64'))).toBe('334 UGFzc3dvcmQ6')
    expect(await client.smtp('Z2VoZWlt')).toMatch(/^535 5\.7\.139 .*basic authentication is disabled/)
    expect(await client.smtp(`AUTH PLAIN ${plain(EMAIL, 'geheim')}`)).toMatch(/^504 5\.7\.4/)
  })

  test('a fourth session of one mailbox is refused until another one ends', async () => {
    const { client, session } = await rig('microsoft')
    const first = await session()
    await session()
    await session()
    const fourth = await client()
    const login = `AUTH XOAUTH2 ${xoauth2(EMAIL, 'good')}`
    expect(await fourth.smtp(login)).toMatch(/^432 4\.3\.2 Concurrent connections limit exceeded\./)
    expect(await first.smtp('QUIT')).toMatch(/^221/)
    await first.rest()
    await expect.poll(() => fourth.smtp(login)).toMatch(/^235/)
  })

  test('a foreign sender is refused after the message, unless Send As was granted', async () => {
    const { session, mailbox, accepted } = await rig('microsoft')
    const client = await session()
    const foreign = 'chef@muster.example'
    expect(await submit(client, ['a@kunde.example'], foreign)).toMatch(
      /^554 5\.2\.252 SendAsDenied; info@muster\.example not allowed to send as chef@muster\.example;/,
    )
    const inHeader = MESSAGE.replace(EMAIL, foreign)
    expect(await submit(client, ['a@kunde.example'], EMAIL, inHeader)).toMatch(/^554 5\.2\.252/)
    mailbox.smtp.sendAs.add(foreign)
    expect(await submit(client, ['a@kunde.example'], foreign, inHeader)).toMatch(/^250 2\.0\.0 OK <1@muster\.example>/)
    expect(accepted.count).toBe(1)
  })

  test('the daily quota counts recipients and is refused after the message', async () => {
    const { session, mailbox, accepted } = await rig('microsoft')
    mailbox.smtp.recipientsPerDay = 3
    const client = await session()
    expect(await submit(client, ['a@kunde.example', 'b@kunde.example'])).toMatch(/^250/)
    expect(await submit(client, ['c@kunde.example', 'd@kunde.example'])).toMatch(
      /^554 5\.2\.0 .*SubmissionQuotaExceeded/,
    )
    expect(await submit(client, ['e@kunde.example'])).toMatch(/^250/)
    expect(accepted.count).toBe(2)
  })
})

describe('as Gmail', () => {
  test('a refused token brings a challenge, and the refusal only after an empty line', async () => {
    const client = await (await rig('google', {})).client()
    const challenge = await client.smtp(`AUTH XOAUTH2 ${xoauth2(EMAIL, 'good')}`)
    expect(Buffer.from(challenge.replace('334 ', ''), 'base64').toString()).toContain('"status":"400"')
    expect(await client.smtp('')).toMatch(/^535-5\.7\.8 Username and Password not accepted\..*\n535 5\.7\.8 {2}https/)
  })

  test('a long token in the command line is too long, after 334 it is fine', async () => {
    const token = 'x'.repeat(1_000)
    const client = await (await rig('google', { [token]: {} })).client()
    expect(await client.smtp(`AUTH XOAUTH2 ${xoauth2(EMAIL, token)}`)).toMatch(
      /^555-5\.5\.2 Syntax error, command line too long/,
    )
    expect(await client.smtp('AUTH XOAUTH2')).toBe('334 ')
    expect(await client.smtp(xoauth2(EMAIL, token))).toBe('235 2.7.0 Accepted')
    expect(await client.smtp('AUTH XOAUTH2')).toMatch(/^503 5\.7\.0 No identity changes permitted/)
  })
})

describe('as Postfix', () => {
  test('a password is checked, and another sender is refused at the recipient', async () => {
    const client = await (await rig('generic')).client()
    expect(await client.smtp(`AUTH PLAIN ${plain(EMAIL, 'falsch')}`)).toBe(
      '535 5.7.8 Error: authentication failed: authentication failure',
    )
    expect(await client.smtp(`AUTH PLAIN ${plain(EMAIL, 'geheim')}`)).toMatch(/^235/)
    await client.smtp('MAIL FROM:<chef@muster.example>')
    expect(await client.smtp('RCPT TO:<a@kunde.example>')).toMatch(
      /^553 5\.7\.1 .*not owned by user info@muster\.example/,
    )
  })

  test('DATA without a recipient is out of order', async () => {
    const client = await (await rig('generic')).session()
    expect(await client.smtp('DATA')).toMatch(/^503 5\.5\.1/)
    await client.smtp(`MAIL FROM:<${EMAIL}>`)
    expect(await client.smtp('DATA')).toMatch(/^503 5\.5\.1/)
  })
})

describe('a message', () => {
  test('is on record as it was sent, with its recipients and its Message-ID', async () => {
    const { session, accepted, events } = await rig('generic')
    await submit(await session(), ['a@kunde.example', 'b@kunde.example'])
    expect(accepted.list()).toMatchObject([
      {
        account: EMAIL,
        envelopeFrom: EMAIL,
        recipients: ['a@kunde.example', 'b@kunde.example'],
        messageId: '<1@muster.example>',
        sizeBytes: Buffer.byteLength(MESSAGE),
        sha256: createHash('sha256').update(MESSAGE).digest('hex'),
        raw: Buffer.from(MESSAGE),
      },
    ])
    expect(events.map(({ type }) => type)).toEqual(['login', 'accepted'])
  })

  test('arrives whole in any number of pieces and in chunks', async () => {
    const { session, accepted } = await rig('generic')
    const client = await session()
    client.write(`MAIL FROM:<${EMAIL}>\r\nRCPT TO:<a@kunde.example>\r\nDATA\r\n`)
    for (let n = 0; n < 3; n++) await client.reply()
    for (const byte of Buffer.from(`${STUFFED}.\r\n`)) client.write(Buffer.from([byte]))
    expect(await client.reply()).toMatch(/^250/)
    const bytes = Buffer.from(MESSAGE)
    await client.smtp(`MAIL FROM:<${EMAIL}>`)
    await client.smtp('RCPT TO:<a@kunde.example>')
    client.write(Buffer.concat([Buffer.from('BDAT 10\r\n'), bytes.subarray(0, 10)]))
    expect(await client.reply()).toMatch(/^250/)
    client.write(Buffer.concat([Buffer.from(`BDAT ${bytes.length - 10} LAST\r\n`), bytes.subarray(10)]))
    expect(await client.reply()).toMatch(/^250/)
    expect(accepted.list().map(({ raw }) => raw?.toString())).toEqual([MESSAGE, MESSAGE])
  })

  test('too large for the mailbox is refused when announced and when it comes', async () => {
    const { session, mailbox, accepted } = await rig('generic')
    mailbox.smtp.maxSizeBytes = 50
    const client = await session()
    expect(await client.smtp(`MAIL FROM:<${EMAIL}> SIZE=51`)).toMatch(/^552 5\.3\.4/)
    expect(await submit(client, ['a@kunde.example'])).toMatch(/^552 5\.3\.4/)
    expect(accepted.count).toBe(0)
  })

  test('is forgotten by body first and by record later', () => {
    const ledger = new AcceptedLedger({ records: 3, bodies: 1 })
    for (let n = 0; n < 5; n++) ledger.add(EMAIL, EMAIL, ['a@kunde.example'], Buffer.from(`Subject: ${n}\r\n\r\n`))
    expect(ledger.count).toBe(5)
    expect(ledger.list().map(({ number, raw }) => [number, raw?.toString()])).toEqual([
      [3, undefined],
      [4, undefined],
      [5, 'Subject: 4\r\n\r\n'],
    ])
  })
})

describe('recipients', () => {
  test('an unknown one is refused for good, a busy one at the first attempt, the others are not harmed', async () => {
    const { session, accepted } = await rig('generic')
    const client = await session()
    await client.smtp(`MAIL FROM:<${EMAIL}>`)
    expect(await client.smtp('RCPT TO:<unknown@kunde.example>')).toMatch(/^550 5\.1\.1 <unknown@kunde\.example>/)
    expect(await client.smtp('RCPT TO:<busy@kunde.example>')).toMatch(/^451 4\.7\.1 Greylisting/)
    expect(await client.smtp('RCPT TO:<a@kunde.example>')).toMatch(/^250/)
    await client.smtp('DATA')
    expect(await client.smtp(`${STUFFED}.`)).toMatch(/^250/)
    await client.smtp(`MAIL FROM:<${EMAIL}>`)
    expect(await client.smtp('RCPT TO:<busy@kunde.example>')).toMatch(/^250/)
    expect(await client.smtp('RCPT TO:<unknown@kunde.example>')).toMatch(/^550/)
    expect(accepted.list().map(({ recipients }) => recipients)).toEqual([['a@kunde.example']])
  })

  test('a mailbox has rules of its own', async () => {
    const { session, mailbox } = await rig('microsoft')
    mailbox.smtp.recipients.push({ match: /@voll\.example$/, reply: '452 4.2.2 Mailbox full', attempts: 2 })
    const client = await session()
    await client.smtp(`MAIL FROM:<${EMAIL}>`)
    const replies: string[] = []
    for (let n = 0; n < 3; n++) replies.push(await client.smtp('RCPT TO:<x@voll.example>'))
    expect(replies.map((reply) => reply.slice(0, 3))).toEqual(['452', '452', '250'])
  })
})

describe('scripted misbehaviour', () => {
  test('a connection cut after the dot may hide an acceptance, or none', async () => {
    const { session, mailbox, accepted } = await rig('generic')
    mailbox.smtpScript.on('dot', { cut: 'before-reply', times: 1 }).on('dot', { cut: 'before-effect', times: 1 })
    await expect(submit(await session(), ['a@kunde.example'])).rejects.toThrow('connection closed')
    expect(accepted.count).toBe(1)
    await expect(submit(await session(), ['a@kunde.example'])).rejects.toThrow('connection closed')
    expect(accepted.count).toBe(1)
  })

  test('a refusal after the dot takes nothing over, a slow answer is still an answer', async () => {
    const { session, mailbox, accepted } = await rig('generic')
    mailbox.smtpScript.on('dot', { reply: '451 4.3.0 Try again', times: 1 }).on('dot', { delayMs: 20 })
    const client = await session()
    expect(await submit(client, ['a@kunde.example'])).toBe('451 4.3.0 Try again')
    expect(accepted.count).toBe(0)
    expect(await submit(client, ['a@kunde.example'])).toMatch(/^250/)
    expect(accepted.count).toBe(1)
  })

  test('421 is said at any step and closes', async () => {
    const { session, mailbox } = await rig('google')
    mailbox.smtpScript.on('rcpt', { reply: '421 4.3.0 Temporary System Problem.', match: /b@/ })
    const client = await session()
    await client.smtp(`MAIL FROM:<${EMAIL}>`)
    expect(await client.smtp('RCPT TO:<a@kunde.example>')).toMatch(/^250/)
    expect(await client.smtp('RCPT TO:<b@kunde.example>')).toMatch(/^421/)
    expect(await client.rest()).toBe('')
  })

  test('a server script works before anybody is known', async () => {
    const { server, script } = await rig('generic')
    script.on('greeting', { bytes: Buffer.from('554 no service\r\n'), cut: 'after-reply' })
    const client = await RawClient.connect(server.upgradePort)
    open.push(client)
    expect(await client.rest()).toBe('554 no service\r\n')
  })
})

test('close ends open sessions and leaves no connection', async () => {
  const { server, session } = await rig('generic')
  const client = await session()
  await server.close()
  expect(await client.rest()).toBe('')
  expect(server.connections()).toBe(0)
  open.splice(0)
})
