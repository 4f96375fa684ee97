// A small world of real servers: Dovecot and Postfix, and a token endpoint whose tokens both accept. Half of its accounts log in
// with XOAUTH2 over TLS, the other half with a password over STLS; all submit over STARTTLS.

import { createHash, randomBytes } from 'node:crypto'
import { startTokenEndpoint, type SandboxGrant, type TokenEndpoint } from '../../src/sandbox/token-endpoint.ts'
import { startDovecot, type TestDovecot } from './dovecot.ts'
import { startIntrospection } from './introspection.ts'
import { makePki, type Pki } from './pki.ts'
import { startPostfix, type PostfixOptions, type TestPostfix } from './postfix.ts'

export interface MailWorld {
  readonly pki: Pki
  readonly tokens: TokenEndpoint
  readonly dovecot: TestDovecot
  readonly postfix: TestPostfix
  /** E-mail addresses, those with XOAUTH2 first. */
  readonly emails: readonly string[]
  /** In the form that `account import` reads. */
  readonly accounts: readonly object[]
  /** Puts `count` different messages of about `sizeBytes` into each maildrop. */
  fill(count: number, sizeBytes: number): void
  stop(): Promise<void>
}

export interface MailWorldOptions {
  readonly oauthAccounts: number
  readonly passwordAccounts: number
  readonly pollIntervalSeconds?: number
  readonly tokenSeconds?: number
  readonly postfix?: Partial<PostfixOptions>
}

const TENANT = 'contoso.example'
const CLIENT_ID = '11111111-2222-3333-4444-555555555555'

export async function startMailWorld(o: MailWorldOptions): Promise<MailWorld> {
  const pki = await makePki()
  const oauth = Array.from({ length: o.oauthAccounts }, (_, i) => `oauth${i + 1}@example.test`)
  const password = Array.from({ length: o.passwordAccounts }, (_, i) => `plain${i + 1}@example.test`)
  const grants = oauth.map((email): SandboxGrant => ({
    email,
    tenant: TENANT,
    clientId: CLIENT_ID,
    clientSecret: null,
    flows: ['password'],
    password: `pw-${email}`,
  }))
  const tokens = await startTokenEndpoint({ tls: pki, accounts: grants, expiresInSeconds: o.tokenSeconds ?? 3_600 })
  const introspection = await startIntrospection((token) => tokens.check(token)?.email)
  const dovecot = await startDovecot({ pki, introspectionUrl: introspection.url })
  const postfix = await startPostfix({ pki, saslPort: dovecot.saslPort, ...o.postfix })
  const smtp = { host: 'localhost', port: postfix.submissionPort, security: 'starttls' }
  // what a provider's preset would pace is not what these tests are about
  const sending = { messages_per_minute: 'unlimited', recipients_per_day: 'unlimited' }
  const common = { smtp, sending, poll_interval_seconds: o.pollIntervalSeconds ?? 5 }
  const accounts = [
    ...oauth.map((email) => ({
      email,
      ...common,
      pop3: { host: 'localhost', port: dovecot.popsPort, security: 'tls' },
      auth: {
        type: 'oauth2',
        flow: 'password',
        token_endpoint: tokens.tokenUrl(TENANT),
        client_id: CLIENT_ID,
        scope: 'https://outlook.office365.com/.default offline_access',
        password: `pw-${email}`,
      },
    })),
    ...password.map((email) => ({
      email,
      ...common,
      pop3: { host: 'localhost', port: dovecot.popPort, security: 'starttls' },
      auth: { type: 'password', password: dovecot.password },
    })),
  ]
  const emails = [...oauth, ...password]
  return {
    pki,
    tokens,
    dovecot,
    postfix,
    emails,
    accounts,
    fill: (count, sizeBytes) => {
      for (const email of emails)
        for (let i = 1; i <= count; i++) dovecot.deliver(email, sampleMessage(email, i, sizeBytes))
    },
    stop: async () => {
      await postfix.stop()
      await dovecot.stop()
      await introspection.stop()
      await tokens.close()
      await pki.stop()
    },
  }
}

/** Different every time, with lines that begin with dots, 8-bit bytes, and CRLF line ends. */
export function sampleMessage(to: string, number: number, sizeBytes: number): Buffer {
  const id = randomBytes(9).toString('hex')
  const head = `From: Absender <absender@example.test>\r\nTo: ${to}\r\nSubject: =?utf-8?q?Nachricht_${number}_f=C3=BCr?= ${to}\r\nMessage-ID: <${id}@example.test>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n.\r\n..zwei\r\nGr\u00fc\u00dfe\r\n`
  const line = `${createHash('sha256').update(id).digest('base64')} .Zeile ${id}\r\n`
  const body = line.repeat(Math.max(1, Math.ceil((sizeBytes - head.length) / line.length)))
  return Buffer.from(head + body, 'latin1')
}

/** A message for sending whose Message-ID tells which it was. */
export function outgoingMessage(from: string, to: string, id: string): Buffer {
  return Buffer.from(
    `From: ${from}\r\nTo: ${to}\r\nSubject: Nr. ${id}\r\nMessage-ID: <${id}@out.example.test>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\n.Punkt\r\nText ${id}\r\n`,
  )
}
