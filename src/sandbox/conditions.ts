// What can be the matter with a simulated account. A condition says what to change at the token endpoint, the mailbox and
// the mail server; healing puts everything back to how it was when all was well.

import type { Mailbox, Pop3Step, SmtpStep } from './mailbox.ts'
import { POP3_PERSONALITIES } from './pop3-personality.ts'
import type { Script } from './scenario.ts'
import { SMTP_PERSONALITIES, smtpAuthRefusals } from './smtp-personality.ts'
import type { SandboxGrant, TokenEndpoint } from './token-endpoint.ts'
import type { SandboxRefusal } from './token-refusals.ts'

/** Everything about one account that a condition may touch. */
export interface Patient {
  readonly mailbox: Mailbox
  /** Basic authentication, as imported; undefined where the account uses OAuth. */
  readonly password: string | undefined
  readonly grant: SandboxGrant | undefined
  readonly tokens: Pick<TokenEndpoint, 'setAccount'>
  /** Of the servers the account lives on: what is scripted here strikes every account on them. */
  readonly server: { readonly pop3: Script<Pop3Step>; readonly smtp: Script<SmtpStep> }
}

const token =
  (state: SandboxRefusal) =>
  ({ grant, tokens }: Patient): void => {
    if (grant === undefined) throw new Error('this account logs in with a password and has no token to be refused')
    tokens.setAccount({ ...grant, state })
  }

const NGINX = Buffer.from('HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nConnection: close\r\n\r\n<html>\x00\xff\x07')

const AILMENTS = {
  'client-secret-expired': token('client_secret_expired'),
  'security-defaults': token('security_defaults_block'),
  'mfa-required': token('mfa_required'),
  'conditional-access': token('conditional_access_blocked'),
  'consent-missing': token('consent_missing'),
  'grant-revoked': token('refresh_token_revoked'),
  'account-disabled': token('account_disabled'),
  'token-endpoint-unavailable': token('token_endpoint_unavailable'),
  'wrong-password': (patient) => {
    if (patient.grant !== undefined) return token('invalid_credentials')(patient)
    patient.mailbox.password = `${patient.password}-changed`
  },
  'smtp-auth-disabled-tenant': ({ mailbox }) => {
    mailbox.smtp.authRefusal = smtpAuthRefusals.disabledForTenant()
  },
  'smtp-auth-disabled-mailbox': ({ mailbox }) => {
    mailbox.smtp.authRefusal = smtpAuthRefusals.disabledForMailbox()
  },
  'smtp-security-defaults': ({ mailbox }) => {
    mailbox.smtp.authRefusal = smtpAuthRefusals.securityDefaults()
  },
  'pop-disabled': ({ mailbox }) => {
    mailbox.pop3Enabled = false
  },
  'maildrop-in-use': ({ mailbox }) => {
    mailbox.pop3Script.on('auth', { reply: POP3_PERSONALITIES[mailbox.provider].inUse })
  },
  'pop-temporarily-unavailable': ({ mailbox }) => {
    mailbox.pop3Script.on('auth', { reply: POP3_PERSONALITIES[mailbox.provider].unavailable })
  },
  'pop-connection-lost': ({ mailbox }) => {
    mailbox.pop3Script.on('retr', { cutAfterBytes: 200 })
  },
  'send-quota-used-up': ({ mailbox }) => {
    mailbox.smtp.recipientsPerDay = 0
  },
  'smtp-busy': ({ mailbox }) => {
    mailbox.smtpScript.on('mail', { reply: SMTP_PERSONALITIES[mailbox.provider].unavailable })
  },
  'cut-after-dot': ({ mailbox }) => {
    mailbox.smtpScript.on('dot', { cut: 'before-reply' })
  },
  'slow-after-dot': ({ mailbox }) => {
    mailbox.smtpScript.on('dot', { delayMs: 20_000 })
  },
  'server-garbage': ({ server }) => {
    server.pop3.on('greeting', { bytes: NGINX, cut: 'after-reply' })
    server.smtp.on('greeting', { bytes: NGINX, cut: 'after-reply' })
  },
  'server-hangs': ({ server }) => {
    server.pop3.on('greeting', { hang: true })
    server.smtp.on('greeting', { hang: true })
  },
} satisfies Record<string, (patient: Patient) => void>

export type Condition = 'ok' | keyof typeof AILMENTS

export function applyCondition(patient: Patient, condition: Condition): void {
  recover(patient)
  if (condition !== 'ok') AILMENTS[condition](patient)
}

function recover({ mailbox, password, grant, tokens, server }: Patient): void {
  if (grant !== undefined) tokens.setAccount(grant)
  if (password !== undefined) mailbox.password = password
  delete mailbox.smtp.authRefusal
  mailbox.smtp.recipientsPerDay = 10_000
  mailbox.pop3Enabled = true
  mailbox.pop3Script.clear()
  mailbox.smtpScript.clear()
  server.pop3.clear()
  server.smtp.clear()
}
