// What can be wrong with an account, from the name of its server to its right to send, and how the connection test has to name it.

import type { Server } from 'node:net'
import type { StepName } from '../../src/accounts/probe-steps.ts'
import type { SandboxGrant, TokenEndpoint } from '../../src/sandbox/token-endpoint.ts'
import type { TestHouse } from './house.ts'
import type { Pki } from './pki.ts'
import type { PopScript, ScriptedPop3 } from './scripted-pop3.ts'
import type { ScriptedSmtp, SmtpScript } from './scripted-smtp.ts'

export const TENANT = '6b29fc40-ca47-1067-b31d-00dd010662da'
export const CLIENT = '11111111-2222-3333-4444-555555555555'
export const SECRET = 'Sandbox~Secret'
const POP_CATCH_ALL = '-ERR Authentication failure: unknown user name or bad password.'

export interface World {
  readonly house: TestHouse
  readonly pki: Pki
  readonly tokens: TokenEndpoint
  readonly grant: SandboxGrant
  readonly silent: Server
  readonly closedPort: number
  readonly plainPort: number
}

export interface Fault {
  readonly what: string
  readonly step: StepName
  readonly side?: 'pop3' | 'smtp'
  readonly flag: string
  /** In the evidence. */
  readonly says?: RegExp
  readonly pop3?: PopScript
  readonly smtp?: SmtpScript
  /** Fields of the account; by default OAuth with a password at the token endpoint. */
  readonly account?: (world: World, servers: { pop3: ScriptedPop3; smtp: ScriptedSmtp }) => object
  readonly before?: (world: World) => void
  /** A note: the test goes on, and passes. */
  readonly isNote?: boolean
}

const popSays = (command: string | RegExp, reply: string): PopScript => ({
  answer: (line) => ((typeof command === 'string' ? line === command : command.test(line)) ? reply : undefined),
})
export const smtpSays = (command: string | RegExp, reply: string): SmtpScript => ({
  answer: (line) => ((typeof command === 'string' ? line === command : command.test(line)) ? reply : undefined),
})
const tokenSays = (refusal: Parameters<TokenEndpoint['setFault']>[1]) => ({
  step: 'token' as const,
  before: ({ tokens }: World) => tokens.setFault(CLIENT, refusal),
})
const at =
  (part: 'pop3' | 'smtp', change: object) => (_world: World, servers: { pop3: ScriptedPop3; smtp: ScriptedSmtp }) => {
    const { host, port, security } = part === 'pop3' ? servers.pop3.target : servers.smtp.endpoint
    return { [part]: { host, port, security, ...change } }
  }

export const FAULTS: readonly Fault[] = [
  {
    what: 'the name does not exist',
    step: 'resolve',
    side: 'pop3',
    flag: 'dns_failure',
    account: at('pop3', { host: 'no-such-host.invalid', security: 'tls' }),
  },
  {
    what: 'the port is closed',
    step: 'connect',
    side: 'smtp',
    flag: 'smtp_unreachable',
    account: (world) => ({ smtp: { host: 'localhost', port: world.closedPort, security: 'starttls' } }),
  },
  {
    what: 'plain text where TLS is expected',
    step: 'encrypt',
    side: 'pop3',
    flag: 'wrong_tls_mode',
    account: (world) => ({ pop3: { host: 'localhost', port: world.plainPort, security: 'tls' } }),
  },
  {
    what: 'the certificate is for another name',
    step: 'encrypt',
    side: 'pop3',
    flag: 'tls_certificate_untrusted',
    says: /not valid for that name/,
  },
  {
    what: 'the certificate has expired',
    step: 'encrypt',
    side: 'pop3',
    flag: 'tls_certificate_untrusted',
    says: /has expired/,
  },
  {
    what: 'the authority is not trusted',
    step: 'encrypt',
    side: 'pop3',
    flag: 'tls_certificate_untrusted',
    says: /authority that is trusted/,
  },
  {
    what: 'STARTTLS is not offered',
    step: 'encrypt',
    side: 'smtp',
    flag: 'starttls_missing',
    account: at('smtp', { security: 'starttls' }),
  },
  {
    what: 'STLS is refused',
    step: 'encrypt',
    side: 'pop3',
    flag: 'starttls_missing',
    pop3: popSays('STLS', '-ERR unknown command'),
    account: at('pop3', { security: 'starttls' }),
  },
  {
    what: 'the POP3 server is busy',
    step: 'greeting',
    side: 'pop3',
    flag: 'pop3_server_unavailable',
    pop3: popSays('(greeting)', '-ERR [SYS/TEMP] try later'),
  },
  {
    what: 'the SMTP server is busy',
    step: 'greeting',
    side: 'smtp',
    flag: 'smtp_temp_failure',
    smtp: smtpSays('(greeting)', '421 4.3.2 Service not available'),
  },
  {
    what: 'XOAUTH2 is not offered',
    step: 'greeting',
    side: 'pop3',
    flag: 'xoauth2_not_offered',
    isNote: true,
    pop3: { capabilities: ['UIDL', 'USER', 'SASL PLAIN'] },
  },
  {
    what: 'the endpoint is a web page',
    step: 'token_endpoint',
    flag: 'token_url_invalid',
    before: ({ tokens }) =>
      tokens.answerNext({
        status: 404,
        body: '<html><body>Not Found</body></html>',
        headers: { 'content-type': 'text/html' },
      }),
  },
  {
    what: 'the endpoint redirects',
    step: 'token_endpoint',
    flag: 'token_url_invalid',
    before: ({ tokens }) =>
      tokens.answerNext({ status: 302, body: '', headers: { location: 'https://localhost/login' } }),
  },
  {
    what: 'the clocks differ',
    step: 'token_endpoint',
    flag: 'clock_skew',
    before: ({ tokens }) =>
      tokens.answerNext({
        status: 400,
        body: '{"error":"invalid_request"}',
        headers: { date: new Date(Date.now() + 7_200_000).toUTCString() },
      }),
  },
  { what: 'the secret has expired', flag: 'client_secret_expired', ...tokenSays('client_secret_expired') },
  { what: 'the secret is wrong', flag: 'client_secret_invalid', ...tokenSays('client_secret_invalid') },
  { what: 'the app is unknown in the tenant', flag: 'app_not_found', ...tokenSays('app_not_found') },
  { what: 'the tenant is unknown', flag: 'tenant_not_found', ...tokenSays('tenant_not_found') },
  { what: 'consent is missing', flag: 'admin_consent_missing', ...tokenSays('consent_missing') },
  { what: 'a second factor is required', flag: 'mfa_required', ...tokenSays('mfa_required') },
  { what: 'a policy blocks', flag: 'conditional_access_blocked', ...tokenSays('conditional_access_blocked') },
  { what: 'the password is wrong', flag: 'invalid_credentials', ...tokenSays('invalid_credentials') },
  { what: 'the account is locked', flag: 'account_locked', ...tokenSays('account_locked') },
  {
    what: 'the token is for Graph',
    step: 'token',
    side: 'pop3',
    flag: 'token_wrong_audience',
    account: () => ({ scope: 'https://graph.microsoft.com/.default offline_access' }),
  },
  {
    what: 'POP was not consented to',
    step: 'token',
    side: 'pop3',
    flag: 'permission_missing_pop',
    before: ({ tokens, grant }) => tokens.setAccount({ ...grant, permissions: ['SMTP.Send'] }),
  },
  {
    what: 'sending was not consented to',
    step: 'token',
    side: 'smtp',
    flag: 'permission_missing_smtp',
    before: ({ tokens, grant }) => tokens.setAccount({ ...grant, permissions: ['POP.AccessAsUser.All'] }),
  },
  {
    what: 'POP is denied with a good token',
    step: 'login_pop3',
    side: 'pop3',
    flag: 'pop3_auth_rejected',
    pop3: popSays('(sasl)', POP_CATCH_ALL),
  },
  {
    what: 'the mailbox is in use',
    step: 'login_pop3',
    side: 'pop3',
    flag: 'mailbox_in_use',
    pop3: popSays('(sasl)', '-ERR [IN-USE] Mailbox is locked by another POP3 session.'),
  },
  {
    what: 'POP is switched off, which shows after the login',
    step: 'maildrop',
    side: 'pop3',
    flag: 'pop3_disabled_mailbox',
    pop3: popSays(
      'STAT',
      '-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account for POP access.',
    ),
  },
  {
    what: 'there are no UIDLs',
    step: 'maildrop',
    side: 'pop3',
    flag: 'uidl_not_supported',
    isNote: true,
    pop3: { ...popSays(/^UIDL/, '-ERR unknown command'), messages: [Buffer.from('Subject: a\r\n\r\nb\r\n')] },
  },
  {
    what: 'SMTP AUTH is off in the tenant',
    step: 'login_smtp',
    side: 'smtp',
    flag: 'smtp_auth_disabled_tenant',
    smtp: smtpSays(
      /^\(sasl\)|^AUTH/,
      '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.',
    ),
  },
  {
    what: 'SMTP AUTH is off in the mailbox',
    step: 'login_smtp',
    side: 'smtp',
    flag: 'smtp_auth_disabled_mailbox',
    smtp: smtpSays(
      /^\(sasl\)|^AUTH/,
      '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.',
    ),
  },
  {
    what: 'security defaults',
    step: 'login_smtp',
    side: 'smtp',
    flag: 'security_defaults_block',
    smtp: smtpSays(
      /^\(sasl\)|^AUTH/,
      "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.",
    ),
  },
  {
    what: 'basic authentication is retired',
    step: 'login_smtp',
    side: 'smtp',
    flag: 'basic_auth_disabled',
    smtp: smtpSays(/^\(sasl\)|^AUTH/, '550 5.7.30 Basic authentication is not supported for Client Submission.'),
  },
  {
    what: 'it may not send as itself',
    step: 'envelope',
    side: 'smtp',
    flag: 'send_as_denied',
    smtp: smtpSays(/^MAIL/, '550 5.7.60 SMTP; Client does not have permissions to send as this sender'),
  },
  {
    what: 'the recipient is refused',
    step: 'envelope',
    side: 'smtp',
    flag: 'recipient_rejected',
    smtp: smtpSays(/^RCPT/, '550 5.1.1 User unknown'),
  },
]
