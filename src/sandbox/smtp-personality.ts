// How the submission servers of Exchange Online, Gmail and Postfix talk: EHLO lines and replies, as seen on the wire.

import type { Provider } from '../base/failure.ts'
import type { LoginVerdict } from './sasl.ts'

const EXCHANGE_HOST = 'FR0P281CA0091.DEUP281.PROD.OUTLOOK.COM'
/** The trailer that changes with every reply of Exchange Online. */
const trail = (): string => `[${EXCHANGE_HOST} ${new Date().toISOString()} 08DD66EDEFB0DFDF]`
const submission = (problem: string, tail: string): string =>
  `554 ${problem} Failed to process message due to a permanent exception with message ${tail} [Hostname=FR0P281MB0001.DEUP281.PROD.OUTLOOK.COM]`

const GSMTP = '98e67ed59e1d1-309f77521cfsm9763797a91.14 - gsmtp'

/** Reply lines as one text: the code is repeated with a hyphen on all but the last. */
const lines = (code: string, ...texts: string[]): string =>
  texts.map((text, at) => `${code.slice(0, 3)}${at < texts.length - 1 ? '-' : ' '}${code.slice(4)}${text}`).join('\r\n')

export interface SmtpPersonality {
  greeting(): string
  hello: string
  extensions(state: { secured: boolean }): string[]
  /** Octets of an AUTH command line; longer initial responses must wait for 334 (RFC 4954 section 4). */
  maxAuthLineLength: number
  authLineTooLong: string
  /** Sent as 334 before an XOAUTH2 refusal; the client answers with an empty line. */
  challenge: string | undefined
  accepted: string
  refusal(verdict: LoginVerdict): string
  secondAuth: string
  needsTls: string
  needsAuth: string
  unknownMechanism: string
  tooManyConnections: string
  senderOk(sender: string): string
  recipientOk(recipient: string): string
  unknownRecipient(recipient: string): string
  greylisted(recipient: string): string
  goAhead: string
  maxSizeBytes: number
  tooLarge: string
  /** 'dot': envelope and From are compared after DATA. never: the server lets the mailbox use any sender. */
  senderCheck: 'rcpt' | 'dot' | 'never'
  sendAsDenied(user: string, sender: string): string
  quotaExceeded: string
  unavailable: string
  queued(messageId: string, sha256: string): string
  badSequence: string
  unknownCommand: string
  goodbye: string
}

const microsoft: SmtpPersonality = {
  greeting: () =>
    `220 ${EXCHANGE_HOST} Microsoft ESMTP MAIL Service ready at ${new Date().toUTCString()} [08DD66EDEFB0DFDF]`,
  hello: `${EXCHANGE_HOST} Hello [127.0.0.1]`,
  extensions: ({ secured }) => [
    'SIZE 157286400',
    'PIPELINING',
    'DSN',
    'ENHANCEDSTATUSCODES',
    secured ? 'AUTH LOGIN XOAUTH2' : 'STARTTLS',
    '8BITMIME',
    'BINARYMIME',
    'CHUNKING',
    'SMTPUTF8',
  ],
  maxAuthLineLength: 12_288,
  authLineTooLong: '500 5.5.6 Command line too long',
  challenge: undefined,
  accepted: '235 2.7.0 Authentication successful',
  refusal: (verdict) => {
    if (verdict === 'basic-disabled')
      return `535 5.7.139 Authentication unsuccessful, basic authentication is disabled. ${trail()}`
    return verdict === 'wrong-password'
      ? `535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. ${trail()}`
      : `535 5.7.3 Authentication unsuccessful ${trail()}`
  },
  secondAuth: '503 5.5.1 Bad sequence of commands',
  needsTls: '530 5.7.0 Must issue a STARTTLS command first.',
  needsAuth: `530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM [${EXCHANGE_HOST}]`,
  unknownMechanism: `504 5.7.4 Unrecognized authentication type [${EXCHANGE_HOST}]`,
  tooManyConnections:
    '432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=FR0P281MB0001.DEUP281.PROD.OUTLOOK.COM]',
  senderOk: () => '250 2.1.0 Sender OK',
  recipientOk: () => '250 2.1.5 Recipient OK',
  unknownRecipient: (recipient) =>
    `550 5.1.1 RESOLVER.ADR.RecipNotFound; recipient ${recipient} not found [${EXCHANGE_HOST}]`,
  greylisted: () =>
    `451 4.7.500 Server busy. Please try again later from [203.0.113.7]. (AS77712344) [${EXCHANGE_HOST}]`,
  goAhead: '354 Start mail input; end with <CRLF>.<CRLF>',
  maxSizeBytes: 157_286_400,
  tooLarge: '552 5.3.4 Message size exceeds fixed maximum message size',
  senderCheck: 'dot',
  sendAsDenied: (user, sender) =>
    submission(
      `5.2.252 SendAsDenied; ${user} not allowed to send as ${sender}; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied;`,
      '[BeginDiagnosticData]Cannot submit message. 0.35250:5F000000 [EndDiagnosticData]',
    ),
  quotaExceeded: submission(
    '5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException;',
    "The message can't be submitted because the sender's submission quota was exceeded.",
  ),
  unavailable: `451 4.7.0 Temporary server error. Please try again later. PRX4 [${EXCHANGE_HOST}]`,
  queued: (messageId, sha256) =>
    `250 2.0.0 OK ${messageId} [Hostname=FR0P281MB0001.DEUP281.PROD.OUTLOOK.COM, InternalId=${Number.parseInt(sha256.slice(0, 12), 16)}] Queued mail for delivery`,
  badSequence: '503 5.5.1 Bad sequence of commands',
  unknownCommand: '500 5.3.3 Unrecognized command',
  goodbye: '221 2.0.0 Service closing transmission channel',
}

const google: SmtpPersonality = {
  greeting: () => `220 smtp.gmail.com ESMTP ${GSMTP}`,
  hello: 'smtp.gmail.com at your service, [203.0.113.7]',
  extensions: ({ secured }) => [
    'SIZE 35882577',
    '8BITMIME',
    secured ? 'AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH' : 'STARTTLS',
    'ENHANCEDSTATUSCODES',
    'PIPELINING',
    'CHUNKING',
    'SMTPUTF8',
  ],
  // Seen with a token of about 1000 characters in one line (angus-mail#201).
  maxAuthLineLength: 1024,
  authLineTooLong: lines(
    '555 5.5.2',
    ' Syntax error, command line too long. For more information, go to',
    `  https://support.google.com/a/answer/3221692 and review RFC 5321 specifications. ${GSMTP}`,
  ),
  challenge: Buffer.from('{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}').toString('base64'),
  accepted: '235 2.7.0 Accepted',
  refusal: (verdict) =>
    verdict === 'basic-disabled'
      ? lines(
          '534 5.7.9',
          ' Application-specific password required. For more information, go to',
          `  https://support.google.com/mail/?p=InvalidSecondFactor ${GSMTP}`,
        )
      : lines(
          '535 5.7.8',
          ' Username and Password not accepted. For more information, go to',
          `  https://support.google.com/mail/?p=BadCredentials ${GSMTP}`,
        ),
  secondAuth: `503 5.7.0 No identity changes permitted. ${GSMTP}`,
  needsTls: `530 5.7.0 Must issue a STARTTLS command first. ${GSMTP}`,
  needsAuth: lines(
    '530 5.7.0',
    ' Authentication Required. For more information, go to',
    `  https://support.google.com/mail/?p=WantAuthError ${GSMTP}`,
  ),
  unknownMechanism: `504 5.7.4 Unrecognized Authentication Type ${GSMTP}`,
  tooManyConnections: `421 4.7.0 Too many concurrent SMTP connections; please try again later. ${GSMTP}`,
  senderOk: () => `250 2.1.0 OK ${GSMTP}`,
  recipientOk: () => `250 2.1.5 OK ${GSMTP}`,
  unknownRecipient: () =>
    lines(
      '550 5.1.1',
      ' The email account that you tried to reach does not exist. Please try',
      " double-checking the recipient's email address for typos or",
      ' unnecessary spaces. Learn more at',
      `  https://support.google.com/mail/?p=NoSuchUser ${GSMTP}`,
    ),
  greylisted: () =>
    lines(
      '450 4.2.1',
      ' The user you are trying to contact is receiving mail too quickly.',
      ' Please resend your message at a later time. For more information, go to',
      `  https://support.google.com/mail/?p=ReceivingRate ${GSMTP}`,
    ),
  goAhead: `354 Go ahead ${GSMTP}`,
  maxSizeBytes: 35_882_577,
  tooLarge: lines(
    '552 5.3.4',
    " Your message exceeded Google's message size limits. To view our",
    ' message size guidelines, go to',
    `  https://support.google.com/mail/?p=MaxSizeError ${GSMTP}`,
  ),
  // Gmail writes its own address into From instead of refusing.
  senderCheck: 'never',
  sendAsDenied: () => `553 5.7.1 Sender not allowed. ${GSMTP}`,
  quotaExceeded: lines(
    '550 5.4.5',
    ' Daily user sending limit exceeded. For more information on Gmail',
    ' sending limits go to',
    `  https://support.google.com/a/answer/166852 ${GSMTP}`,
  ),
  unavailable: `421 4.3.0 Temporary System Problem.  Try again later (10). ${GSMTP}`,
  queued: () => `250 2.0.0 OK  ${Math.floor(Date.now() / 1000)} ${GSMTP}`,
  badSequence: `503 5.5.1 Bad sequence of commands. ${GSMTP}`,
  unknownCommand: `502 5.5.1 Unrecognized command. ${GSMTP}`,
  goodbye: `221 2.0.0 closing connection ${GSMTP}`,
}

const generic: SmtpPersonality = {
  greeting: () => '220 mail.example.test ESMTP Postfix',
  hello: 'mail.example.test',
  extensions: ({ secured }) => [
    'PIPELINING',
    'SIZE 52428800',
    ...(secured ? ['AUTH PLAIN LOGIN XOAUTH2'] : ['STARTTLS']),
    'ENHANCEDSTATUSCODES',
    '8BITMIME',
    'DSN',
    'CHUNKING',
  ],
  maxAuthLineLength: 12_288,
  authLineTooLong: '500 5.5.2 Line too long',
  challenge: undefined,
  accepted: '235 2.7.0 Authentication successful',
  refusal: () => '535 5.7.8 Error: authentication failed: authentication failure',
  secondAuth: '503 5.5.1 Error: already authenticated',
  needsTls: '530 5.7.0 Must issue a STARTTLS command first',
  needsAuth: '530 5.7.0 Authentication required',
  unknownMechanism: '535 5.7.8 Error: authentication failed: Invalid authentication mechanism',
  tooManyConnections: '421 4.7.0 mail.example.test Error: too many connections from 127.0.0.1',
  senderOk: () => '250 2.1.0 Ok',
  recipientOk: () => '250 2.1.5 Ok',
  unknownRecipient: (recipient) =>
    `550 5.1.1 <${recipient}>: Recipient address rejected: User unknown in virtual mailbox table`,
  greylisted: () => '451 4.7.1 Greylisting in action, please come back later',
  goAhead: '354 End data with <CR><LF>.<CR><LF>',
  maxSizeBytes: 52_428_800,
  tooLarge: '552 5.3.4 Message size exceeds fixed limit',
  senderCheck: 'rcpt',
  sendAsDenied: (user, sender) => `553 5.7.1 <${sender}>: Sender address rejected: not owned by user ${user}`,
  quotaExceeded: '450 4.7.1 Error: too much mail from this sender today',
  unavailable: '451 4.3.0 Error: queue file write error',
  queued: (_messageId, sha256) => `250 2.0.0 Ok: queued as ${sha256.slice(0, 11).toUpperCase()}`,
  badSequence: '503 5.5.1 Error: bad sequence of commands',
  unknownCommand: '500 5.5.2 Error: command not recognized',
  goodbye: '221 2.0.0 Bye',
}

/** One code, seven meanings: why Exchange Online lets nobody in although the credentials are right. */
export const smtpAuthRefusals = {
  disabledForTenant: (): string =>
    `535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. ${trail()}`,
  disabledForMailbox: (): string =>
    `535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information. ${trail()}`,
  securityDefaults: (): string =>
    `535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator. ${trail()}`,
}

export const SMTP_PERSONALITIES: Readonly<Record<Provider, SmtpPersonality>> = { microsoft, google, generic }
