import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, test } from 'vitest'
import type { AccountImport, EndpointImport } from '../../../src/sandbox/residents.ts'
import { sampleMail } from '../../../src/sandbox/sample-mail.ts'
import { type Sandbox, type SandboxOptions, startSandbox } from '../../../src/sandbox/sandbox.ts'
import { plain, RawClient, xoauth2 } from './raw-client.ts'

const open: { close(): Promise<void> }[] = []

afterEach(async () => {
  for (const resource of open.splice(0).reverse()) await resource.close()
})

async function sandboxFor(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startSandbox(options)
  open.push(sandbox)
  return sandbox
}

function account(sandbox: Sandbox, name: string): AccountImport {
  const found = sandbox.accounts.find(({ email }) => email === `${name}@muster.example`)
  if (found === undefined) throw new Error(`no account ${name}`)
  return found
}

interface TokenReply {
  readonly access_token?: string
  readonly error?: string
  readonly error_codes?: readonly number[]
}

/** Asks for a token with nothing but what the import says. */
async function fetchToken(sandbox: Sandbox, { email, auth }: AccountImport): Promise<TokenReply> {
  if (auth.type !== 'oauth2') throw new Error(`${email} does not use OAuth`)
  const form = new URLSearchParams({ grant_type: auth.flow, client_id: auth.client_id, scope: auth.scope })
  if (auth.client_secret !== null) form.set('client_secret', auth.client_secret)
  if (auth.password !== undefined) form.set('password', auth.password)
  if (auth.flow === 'password') form.set('username', email)
  if (auth.refresh_token !== undefined) form.set('refresh_token', auth.refresh_token)
  const body = await new Promise<string>((resolve, reject) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    request(auth.token_endpoint, { method: 'POST', ca: sandbox.caPem, headers, agent: false }, (response) => {
      text(response).then(resolve, reject)
    })
      .on('error', reject)
      .end(form.toString())
  })
  const reply: TokenReply = JSON.parse(body)
  return reply
}

async function tokenOf(sandbox: Sandbox, from: AccountImport): Promise<string> {
  const reply = await fetchToken(sandbox, from)
  if (reply.access_token === undefined) throw new Error(`no token: ${JSON.stringify(reply)}`)
  return reply.access_token
}

async function dial(sandbox: Sandbox, to: EndpointImport): Promise<RawClient> {
  const client = await RawClient.connect(to.port, to.security === 'tls' ? sandbox.caPem : undefined)
  open.push(client)
  return client
}

/** The answer to a POP3 login as imported, and the connection. */
async function loginPop3(sandbox: Sandbox, from: AccountImport, token?: string): Promise<[string, RawClient]> {
  const client = await dial(sandbox, from.pop3)
  await client.line()
  if (from.pop3.security === 'starttls') {
    await client.pop3('STLS')
    await client.startTls(sandbox.caPem)
  }
  if (from.auth.type === 'password') {
    await client.pop3('AUTH PLAIN')
    return [await client.pop3(plain(from.pop3.username, from.auth.password)), client]
  }
  await client.pop3('AUTH XOAUTH2')
  return [await client.pop3(xoauth2(from.pop3.username, token ?? (await tokenOf(sandbox, from)))), client]
}

async function loginSmtp(sandbox: Sandbox, from: AccountImport): Promise<[string, RawClient]> {
  const client = await dial(sandbox, from.smtp)
  await client.reply()
  await client.smtp('EHLO client.example')
  if (from.smtp.security === 'starttls') {
    await client.smtp('STARTTLS')
    await client.startTls(sandbox.caPem)
    await client.smtp('EHLO client.example')
  }
  const { auth } = from
  const mechanism = auth.type === 'password' ? 'PLAIN' : 'XOAUTH2'
  const response =
    auth.type === 'password'
      ? plain(from.smtp.username, auth.password)
      : xoauth2(from.smtp.username, await tokenOf(sandbox, from))
  await client.smtp(`AUTH ${mechanism}`)
  return [await client.smtp(response), client]
}

async function send(client: RawClient, from: string, to: string): Promise<string> {
  await client.smtp(`MAIL FROM:<${from}>`)
  await client.smtp(`RCPT TO:<${to}>`)
  await client.smtp('DATA')
  return client.smtp(`From: <${from}>\r\nMessage-ID: <test@muster.example>\r\nSubject: Hallo\r\n\r\nText\r\n.`)
}

describe('the accounts', () => {
  test('come in the shape of the import, with one default account', async () => {
    const sandbox = await sandboxFor({ pollIntervalSeconds: 5 })
    expect(sandbox.accounts).toHaveLength(13)
    const info = account(sandbox, 'info')
    expect(info).toEqual({
      email: 'info@muster.example',
      label: 'Info',
      default: true,
      pop3: { host: 'localhost', port: expect.any(Number), security: 'tls', username: 'info@muster.example' },
      smtp: { host: 'localhost', port: expect.any(Number), security: 'starttls', username: 'info@muster.example' },
      auth: {
        type: 'oauth2',
        flow: 'password',
        token_endpoint: expect.stringMatching(/^https:\/\/localhost:\d+\/muster\.example\/oauth2\/v2\.0\/token$/),
        client_id: expect.any(String),
        client_secret: null,
        client_label: 'bm_mail',
        scope: 'https://outlook.office365.com/.default offline_access',
        password: expect.any(String),
      },
      poll_interval_seconds: 5,
      delete_after_days: null,
    })
    expect(sandbox.accounts.filter((one) => one.default)).toEqual([info])
    expect(account(sandbox, 'buchhaltung').delete_after_days).toBe(7)
  })

  test.each(['info', 'buchhaltung', 'verkauf', 'service', 'lager'])('%s receives and sends', async (name) => {
    const sandbox = await sandboxFor({ mailsPerAccount: 2 })
    const from = account(sandbox, name)
    const [received, pop3] = await loginPop3(sandbox, from)
    expect(received).toMatch(/^\+OK/)
    expect(await pop3.pop3('STAT')).toMatch(/^\+OK 2 \d+$/)
    const [sent, smtp] = await loginSmtp(sandbox, from)
    expect(sent).toMatch(/^235/)
    expect(await send(smtp, from.email, 'kunde@kunde.example')).toMatch(/^250/)
    expect(sandbox.messagesAccepted()).toMatchObject([{ account: from.email, messageId: '<test@muster.example>' }])
  })

  test.each([
    ['versand', 'for the Tenant'],
    ['einkauf', 'for the Mailbox'],
  ])('%s receives, but SMTP AUTH is disabled %s until that is healed', async (name, where) => {
    const sandbox = await sandboxFor()
    const from = account(sandbox, name)
    expect((await loginPop3(sandbox, from))[0]).toMatch(/^\+OK/)
    expect((await loginSmtp(sandbox, from))[0]).toMatch(new RegExp(`^535 5\\.7\\.139 .*is disabled ${where}\\.`))
    sandbox.heal(from.email)
    expect((await loginSmtp(sandbox, from))[0]).toMatch(/^235/)
  })

  test.each([
    ['personal', 7000222],
    ['chef', 530035],
    ['archiv', 65001],
    ['alt', 50126],
  ])('%s gets no token (AADSTS%i) until that is healed', async (name, code) => {
    const sandbox = await sandboxFor()
    const from = account(sandbox, name)
    expect((await fetchToken(sandbox, from)).error_codes).toEqual([code])
    sandbox.heal(from.email)
    expect((await loginPop3(sandbox, from))[0]).toMatch(/^\+OK/)
    await open.pop()?.close()
    expect((await loginSmtp(sandbox, from))[0]).toMatch(/^235/)
  })

  test('privat sends, and learns at STAT that POP is switched off', async () => {
    const sandbox = await sandboxFor()
    const from = account(sandbox, 'privat')
    const [login, pop3] = await loginPop3(sandbox, from)
    expect(login).toBe('+OK Welcome.')
    expect(await pop3.pop3('STAT')).toMatch(/^-ERR \[SYS\/PERM\]/)
    expect((await loginSmtp(sandbox, from))[0]).toMatch(/^235/)
    sandbox.heal(from.email)
    expect(await pop3.pop3('STAT')).toMatch(/^\+OK 3 /)
  })

  test('werkstatt hears a web server until that is healed, its neighbours hear mail servers', async () => {
    const sandbox = await sandboxFor()
    const from = account(sandbox, 'werkstatt')
    expect(await (await dial(sandbox, from.pop3)).rest()).toMatch(/^HTTP\/1\.1 400/)
    expect(await (await dial(sandbox, from.smtp)).rest()).toMatch(/^HTTP\/1\.1 400/)
    expect((await loginPop3(sandbox, account(sandbox, 'lager')))[0]).toMatch(/^\+OK/)
    sandbox.heal(from.email)
    expect((await loginPop3(sandbox, from))[0]).toMatch(/^\+OK/)
  })
})

describe('faults at run time', () => {
  test('a broken account breaks at once and heals at once', async () => {
    const sandbox = await sandboxFor()
    const info = account(sandbox, 'info')
    sandbox.break(info.email, 'mfa-required')
    expect((await fetchToken(sandbox, info)).error_codes).toEqual([50076])
    sandbox.break(info.email, 'send-quota-used-up')
    const [login, smtp] = await loginSmtp(sandbox, info)
    expect(login).toMatch(/^235/)
    expect(await send(smtp, info.email, 'kunde@kunde.example')).toMatch(/^554 5\.2\.0/)
    sandbox.heal(info.email)
    expect(await send(smtp, info.email, 'kunde@kunde.example')).toMatch(/^250/)
  })

  test('a changed password refuses an account without OAuth, and a token fault is not for it', async () => {
    const sandbox = await sandboxFor()
    const lager = account(sandbox, 'lager')
    sandbox.break(lager.email, 'wrong-password')
    expect((await loginPop3(sandbox, lager))[0]).toBe('-ERR [AUTH] Authentication failed.')
    expect(() => sandbox.break(lager.email, 'mfa-required')).toThrow('no token to be refused')
    sandbox.heal(lager.email)
    expect((await loginPop3(sandbox, lager))[0]).toMatch(/^\+OK/)
  })

  test.each([
    ['info', '-ERR Server Unavailable. 21', /^451 4\.7\.0 .*PRX4/],
    ['verkauf', '-ERR [SYS/TEMP] Temporary system problem. Please try again later.', /^421 4\.3\.0/],
    ['lager', '-ERR [SYS/TEMP] Temporary authentication failure. [mx1:2026-03-11 08:14:27]', /^451 4\.3\.0/],
  ])('%s hears of a passing outage in the words of its provider', async (name, popReply, smtpReply) => {
    const sandbox = await sandboxFor()
    const from = account(sandbox, name)
    sandbox.break(from.email, 'pop-temporarily-unavailable')
    expect((await loginPop3(sandbox, from))[0]).toBe(popReply)
    sandbox.break(from.email, 'smtp-busy')
    const [, smtp] = await loginSmtp(sandbox, from)
    expect(await smtp.smtp(`MAIL FROM:<${from.email}>`)).toMatch(smtpReply)
  })

  test('an access token opens nothing after its lifetime', async () => {
    const sandbox = await sandboxFor({ accessTokenSeconds: 0 })
    const info = account(sandbox, 'info')
    expect((await loginPop3(sandbox, info))[0]).toMatch(/^-ERR Authentication failure/)
    expect((await loginSmtp(sandbox, info))[0]).toMatch(/^535 5\.7\.3/)
  })

  test('a token of one account does not open another', async () => {
    const sandbox = await sandboxFor()
    const token = await tokenOf(sandbox, account(sandbox, 'info'))
    expect((await loginPop3(sandbox, account(sandbox, 'versand'), token))[0]).toMatch(/^-ERR Authentication failure/)
  })
})

describe('mail', () => {
  test('sent from one mailbox to another arrives there', async () => {
    const sandbox = await sandboxFor({ mailsPerAccount: 0 })
    const [, smtp] = await loginSmtp(sandbox, account(sandbox, 'info'))
    await send(smtp, 'info@muster.example', 'Lager@muster.example')
    const [mail] = sandbox.mailbox('lager@muster.example').maildrop.list()
    expect(mail?.raw.toString()).toMatch(/^Return-Path: <info@muster\.example>\r\nReceived: by .*\r\nText\r\n$/s)
  })

  test('is new in every run: no UIDL and no Message-ID comes twice, though the content is the same', async () => {
    const [one, other] = [await sandboxFor({ seed: 's' }), await sandboxFor({ seed: 's' })]
    const mails = [one, other].map((sandbox) =>
      sandbox.accounts.flatMap(({ email }) => sandbox.mailbox(email).maildrop.list()),
    )
    const all = mails.flat()
    expect(new Set(all.map(({ uidl }) => uidl)).size).toBe(all.length)
    expect(new Set(all.map(({ raw }) => /^Message-ID: .*$/m.exec(raw.toString())?.[0])).size).toBe(all.length)
    const [here = [], there = []] = mails.map((list) =>
      list.map(({ raw }) => /^Subject: .*$/m.exec(raw.toString())?.[0]),
    )
    expect(here).toEqual(there)
  })

  test('comes by and by while traffic runs, and no more once it was stopped', async () => {
    const sandbox = await sandboxFor({ mailsPerAccount: 0 })
    const delivered: string[] = []
    sandbox.on('delivered', ({ email }) => delivered.push(email))
    const stop = new AbortController()
    sandbox.startTraffic(60_000, stop.signal)
    await expect.poll(() => new Set(delivered).size).toBeGreaterThan(5)
    stop.abort()
    await sandbox.close()
    const count = delivered.length
    await new Promise((resolve) => setImmediate(resolve))
    expect(delivered).toHaveLength(count)
  })

  test('stops coming to a maildrop that nobody empties', async () => {
    const sandbox = await sandboxFor({ mailsPerAccount: 1, mailsKept: 2 })
    sandbox.startTraffic(1_000_000, new AbortController().signal)
    const sizes = (): number[] => sandbox.accounts.map(({ email }) => sandbox.mailbox(email).maildrop.size)
    await expect.poll(() => Math.min(...sizes())).toBe(2)
    expect(Math.max(...sizes())).toBe(2)
  })

  test('looks like business mail: valid lines, encoded subjects, attachments, dots at the start of lines', () => {
    const to = 'info@muster.example'
    const mails = Array.from({ length: 60 }, (_, n) =>
      sampleMail({ seed: `${n}`, to, messageId: `<${n}@sandbox.example>`, date: new Date(0) }),
    )
    const texts = mails.map((mail) => mail.toString('latin1'))
    expect(texts.filter((mail) => /[^\r]\n|\r[^\n]/.test(mail))).toEqual([])
    expect(Math.max(...mails.map(({ length }) => length))).toBeLessThan(60_000)
    expect(Math.max(...texts.flatMap((mail) => mail.split('\r\n').map(({ length }) => length)))).toBeLessThan(998)
    for (const trait of [
      /^Subject: =\?utf-8\?B\?/m,
      /filename\*=utf-8''/,
      /^\.$/m,
      /8bit/,
      /quoted-printable/,
      /text\/html/,
      /^Auto-Submitted: auto-replied/m,
      /report-type=delivery-status/,
      /^Content-ID: </m,
    ]) {
      expect(texts.some((mail) => trait.test(mail))).toBe(true)
    }
    const about = { to, date: new Date(0) }
    const answers = { ...about, seed: '7', messageId: '<7@sandbox.example>' }
    const answer = sampleMail({ ...about, seed: '8', messageId: '<8@sandbox.example>', answers }).toString()
    expect(answer).toContain('In-Reply-To: <7@sandbox.example>\r\n')
    expect(/^From: .*/m.exec(answer)?.[0]).toBe(/^From: .*/m.exec(mails[7]?.toString() ?? '')?.[0])
    const again = sampleMail({ seed: '7', to, messageId: '<7@sandbox.example>', date: new Date(0) })
    expect(again.equals(mails[7] ?? Buffer.alloc(0))).toBe(true)
  })
})

test('close leaves no socket and no timer of the sandbox behind', async () => {
  const before = process.getActiveResourcesInfo().filter((kind) => /TCP|TLS|Timeout/.test(kind)).length
  const sandbox = await startSandbox()
  sandbox.startTraffic(1, new AbortController().signal)
  const client = await dial(sandbox, account(sandbox, 'info').pop3)
  await client.line()
  sandbox.break('info@muster.example', 'server-hangs')
  const hanging = await dial(sandbox, account(sandbox, 'info').pop3)
  await sandbox.close()
  await Promise.all([client.rest(), hanging.rest()])
  await expect
    .poll(() => process.getActiveResourcesInfo().filter((kind) => /TCP|TLS/.test(kind)).length)
    .toBeLessThanOrEqual(before)
})
