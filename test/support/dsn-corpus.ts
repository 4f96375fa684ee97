// Delivery reports in the shapes that mail servers send them, each with what is to be read out of it.

import { PROSE_REPORTS } from './dsn-prose.ts'

export interface ExpectedReport {
  readonly recipient: string
  readonly status: string | null
  readonly action?: string
  readonly diagnostic?: RegExp
}

export interface DsnSample {
  readonly name: string
  readonly raw: Buffer
  readonly reports: readonly ExpectedReport[]
  readonly originalMessageId: string | null
}

export const ORIGINAL_ID = '<nr-4711@out.example.test>'
export const RECIPIENT = 'kunde@there.example'
const RETURNED = `Message-ID: ${ORIGINAL_ID}\nFrom: wir@example.test\nTo: ${RECIPIENT}\nSubject: Angebot\n`

interface Report {
  readonly name: string
  /** Everything behind the group of the message, and that group. */
  readonly status: string
  readonly expected: readonly ExpectedReport[]
  readonly headers?: string
  readonly text?: string
  readonly statusType?: string
  readonly returned?: string
  readonly returnedType?: string
}

const failed = (status: string | null = '5.1.1', recipient = RECIPIENT): ExpectedReport => ({
  recipient,
  status,
  action: 'failed',
})
const group = (...fields: string[]): string => `${fields.join('\n')}\n`
const POSTFIX = group(
  'Reporting-MTA: dns; mx.example.test',
  'X-Postfix-Queue-ID: 4F8A2',
  'X-Postfix-Sender: rfc822; wir@example.test',
  'Arrival-Date: Mon, 23 Nov 2026 10:00:00 +0100 (CET)',
)
const recipient = (...fields: string[]): string => group(`Final-Recipient: rfc822; ${RECIPIENT}`, ...fields)

const REPORTS: readonly Report[] = [
  {
    name: 'Postfix, failed',
    status: `${POSTFIX}\n${recipient(`Original-Recipient: rfc822;${RECIPIENT}`, 'Action: failed', 'Status: 5.1.1', 'Remote-MTA: dns; mx.there.example', 'Diagnostic-Code: smtp; 550 5.1.1 <kunde@there.example>: Recipient address rejected:\n    User unknown in virtual mailbox table')}`,
    expected: [{ ...failed(), diagnostic: /^550 5\.1\.1 .*User unknown/ }],
  },
  {
    name: 'Postfix, delayed',
    status: `${POSTFIX}\n${recipient('Action: delayed', 'Status: 4.4.1', 'Diagnostic-Code: X-Postfix; connect to mx.there.example[192.0.2.1]:25: Connection timed out', 'Will-Retry-Until: Sat, 28 Nov 2026 10:00:00 +0100 (CET)')}`,
    expected: [{ recipient: RECIPIENT, status: '4.4.1', action: 'delayed', diagnostic: /^connect to/ }],
  },
  {
    name: 'Postfix, delivered',
    status: `${POSTFIX}\n${recipient('Action: delivered', 'Status: 2.0.0', 'Diagnostic-Code: smtp; 250 2.0.0 Ok: queued as 1A')}`,
    expected: [{ recipient: RECIPIENT, status: '2.0.0', action: 'delivered' }],
  },
  {
    name: 'Postfix, relayed',
    status: `${POSTFIX}\n${recipient('Action: relayed', 'Status: 2.0.0')}`,
    expected: [{ recipient: RECIPIENT, status: '2.0.0', action: 'relayed' }],
  },
  {
    name: 'Postfix, expanded',
    status: `${POSTFIX}\n${recipient('Action: expanded', 'Status: 2.0.0')}`,
    expected: [{ recipient: RECIPIENT, status: '2.0.0', action: 'expanded' }],
  },
  {
    name: 'Postfix, header of the mail only',
    status: `${POSTFIX}\n${recipient('Action: failed', 'Status: 5.2.2')}`,
    returnedType: 'text/rfc822-headers',
    expected: [failed('5.2.2')],
  },
  {
    name: 'Postfix, several recipients',
    status: `${POSTFIX}\n${recipient('Action: failed', 'Status: 5.1.1')}\n${group('Final-Recipient: rfc822; zweiter@there.example', 'Action: failed', 'Status: 5.7.1', 'Diagnostic-Code: smtp; 554 5.7.1 rejected')}`,
    expected: [failed(), failed('5.7.1', 'zweiter@there.example')],
  },
  {
    name: 'Postfix, one delayed and one failed',
    status: `${POSTFIX}\n${recipient('Action: delayed', 'Status: 4.2.2')}\n${group('Final-Recipient: rfc822; zweiter@there.example', 'Action: failed', 'Status: 5.0.0')}`,
    expected: [{ recipient: RECIPIENT, status: '4.2.2', action: 'delayed' }, failed('5.0.0', 'zweiter@there.example')],
  },
  {
    name: 'Sendmail',
    headers:
      'From: Mail Delivery Subsystem <MAILER-DAEMON@mx.example.test>\nSubject: Returned mail: see transcript for details',
    status: `${group('Reporting-MTA: dns; mx.example.test', 'Received-From-MTA: DNS; localhost', 'Arrival-Date: Mon, 23 Nov 2026 10:00:00 +0100')}\n${group(`Final-Recipient: RFC822; ${RECIPIENT}`, 'Action: failed', 'Status: 5.1.1', 'Remote-MTA: DNS; mx.there.example', 'Diagnostic-Code: SMTP; 550 5.1.1 User unknown', 'Last-Attempt-Date: Mon, 23 Nov 2026 10:00:01 +0100')}`,
    expected: [{ ...failed(), diagnostic: /^550 5\.1\.1 User unknown$/ }],
  },
  {
    name: 'Sendmail, warning',
    headers: 'From: MAILER-DAEMON@mx.example.test\nSubject: Warning: could not send message for past 4 hours',
    status: `${group('Reporting-MTA: dns; mx.example.test')}\n${recipient('Action: delayed', 'Status: 4.4.7')}`,
    expected: [{ recipient: RECIPIENT, status: '4.4.7', action: 'delayed' }],
  },
  {
    name: 'Exim',
    headers: `From: Mail Delivery System <Mailer-Daemon@mx.example.test>\nSubject: Mail delivery failed: returning message to sender\nX-Failed-Recipients: ${RECIPIENT}\nAuto-Submitted: auto-replied`,
    status: `${group('Reporting-MTA: dns; mx.example.test')}\n${group('Action: failed', `Final-Recipient: rfc822;${RECIPIENT}`, 'Status: 5.0.0', 'Remote-MTA: dns; mx.there.example', 'Diagnostic-Code: smtp; 550 No such user here')}`,
    expected: [{ ...failed('5.0.0'), diagnostic: /^550 No such user here$/ }],
  },
  {
    name: 'Exchange Online',
    headers:
      'From: "Microsoft Outlook" <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.test>\nSubject: Undeliverable: Angebot\nX-MS-Exchange-Message-Is-Ndr:',
    status: `${group('Reporting-MTA: dns;AM0PR01MB1234.eurprd01.prod.exchangelabs.com', 'Received-From-MTA: dns;localhost', 'Arrival-Date: Mon, 23 Nov 2026 10:00:00 +0000')}\n${group(`Final-Recipient: rfc822;${RECIPIENT}`, 'Action: failed', 'Status: 5.1.10', 'Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup')}`,
    expected: [{ ...failed('5.1.10'), diagnostic: /RecipientNotFound/ }],
  },
  {
    name: 'Exchange Online, in German',
    headers:
      'From: "Microsoft Outlook" <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.test>\nSubject: Unzustellbar: Angebot\nX-MS-Exchange-Message-Is-Ndr:',
    status: `${group('Reporting-MTA: dns;AM0PR01MB1234.eurprd01.prod.exchangelabs.com')}\n${group(`Original-Recipient: rfc822;${RECIPIENT}`, `Final-Recipient: rfc822;intern@there.example`, 'Action: failed', 'Status: 5.4.1', 'Diagnostic-Code: smtp;550 5.4.1 Recipient address rejected: Access denied.', 'X-Display-Name: Kunde')}`,
    expected: [failed('5.4.1')],
  },
  {
    name: 'Exchange, delayed',
    headers: 'From: postmaster@example.test\nSubject: Delivery delayed:Angebot',
    status: `${group('Reporting-MTA: dns;ex.example.test')}\n${group(`Final-recipient: RFC822;${RECIPIENT}`, 'Action: delayed', 'Status: 4.4.7', 'Will-Retry-Until: Wed, 25 Nov 2026 10:00:00 +0100', 'X-Display-Name: Kunde')}`,
    expected: [{ recipient: RECIPIENT, status: '4.4.7', action: 'delayed' }],
  },
  {
    name: 'Exchange, a group was expanded',
    headers: 'From: postmaster@example.test\nSubject: Expanded: Angebot',
    status: `${group('Reporting-MTA: dns;ex.example.test')}\n${group(`Final-recipient: RFC822;${RECIPIENT}`, 'Action: expanded', 'Status: 2.5.0')}`,
    expected: [{ recipient: RECIPIENT, status: '2.5.0', action: 'expanded' }],
  },
  {
    name: 'Gmail',
    headers: `From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nSubject: Delivery Status Notification (Failure)\nX-Failed-Recipients: ${RECIPIENT}\nAuto-Submitted: auto-replied`,
    status: `${group('Reporting-MTA: dns; googlemail.com', 'Received-From-MTA: dns; wir@example.test', 'Arrival-Date: Mon, 23 Nov 2026 02:00:00 -0800 (PST)', `X-Original-Message-ID: ${ORIGINAL_ID}`)}\n${recipient('Action: failed', 'Status: 5.1.1', 'Remote-MTA: dns; mx.there.example. (192.0.2.1, the server for the domain there.example.)', 'Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.\n 550 5.1.1 https://support.google.com/mail/?p=NoSuchUser', 'Last-Attempt-Date: Mon, 23 Nov 2026 02:00:01 -0800 (PST)')}`,
    returned: '',
    expected: [{ ...failed(), diagnostic: /does not exist.*NoSuchUser/ }],
  },
  {
    name: 'Gmail, delay',
    headers:
      'From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nSubject: Delivery Status Notification (Delay)',
    status: `${group('Reporting-MTA: dns; googlemail.com', `X-Original-Message-ID: ${ORIGINAL_ID}`)}\n${recipient('Action: delayed', 'Status: 4.4.1', 'Will-Retry-Until: Thu, 26 Nov 2026 02:00:00 -0800 (PST)')}`,
    returned: '',
    expected: [{ recipient: RECIPIENT, status: '4.4.1', action: 'delayed' }],
  },
  {
    name: 'Amazon SES',
    headers: 'From: MAILER-DAEMON@amazonses.com\nSubject: Delivery Status Notification (Failure)',
    status: `${group('Reporting-MTA: dns; a1-2.smtp-out.amazonses.com')}\n${group('Action: failed', `Final-Recipient: rfc822; ${RECIPIENT}`, 'Diagnostic-Code: smtp; 550 5.1.1 user unknown', 'Status: 5.1.1')}`,
    expected: [failed()],
  },
  {
    name: 'Outlook.com',
    headers: 'From: postmaster@outlook.com\nSubject: Undeliverable: Angebot',
    status: `${group('Reporting-MTA: dns;DB3.mail.protection.outlook.com')}\n${recipient('Action: failed', 'Status: 5.5.0', 'Diagnostic-Code: smtp;550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).')}`,
    expected: [failed('5.5.0')],
  },
  {
    name: 'Domino',
    headers: 'From: Postmaster@there.example\nSubject: DELIVERY FAILURE: User kunde not listed',
    status: `${group('Reporting-MTA: dns;domino.there.example')}\n${recipient('Action: failed', 'Status: 5.1.1', 'Diagnostic-Code: X-Notes; User kunde (kunde@there.example) not listed in Domino Directory')}`,
    expected: [{ ...failed(), diagnostic: /^User kunde/ }],
  },
  {
    name: 'GroupWise',
    status: `${group('Reporting-MTA: dns; gw.there.example')}\n${recipient('Action: failed', 'Status: 5.1.1 (No such user)', 'Diagnostic-Code: smtp; 550 5.1.1 (kunde) No such user')}`,
    expected: [failed()],
  },
  {
    name: 'Zimbra',
    status: `${group('Reporting-MTA: dns; zimbra.there.example', 'X-Zimbra-Queue: 1')}\n${recipient('Action: failed', 'Status: 5.2.2', 'Diagnostic-Code: X-Zimbra; 552 5.2.2 Over quota')}`,
    expected: [{ ...failed('5.2.2'), diagnostic: /^552 5\.2\.2 Over quota$/ }],
  },
  {
    name: 'Kerio',
    status: `${group('Reporting-MTA: dns;kerio.there.example')}\n${group('Final-Recipient: rfc822;<kunde@there.example>', 'Action: failed', 'Status: 5.1.1')}`,
    expected: [failed()],
  },
  {
    name: 'an address without its type',
    status: `${POSTFIX}\n${group(`Final-Recipient: ${RECIPIENT}`, 'Action: failed', 'Status: 5.1.1')}`,
    expected: [failed()],
  },
  {
    name: 'the original recipient is the one we wrote to',
    status: `${POSTFIX}\n${group('Final-Recipient: rfc822; weitergeleitet@elsewhere.example', `Original-Recipient: rfc822;${RECIPIENT}`, 'Action: failed', 'Status: 5.1.1')}`,
    expected: [failed()],
  },
  {
    name: 'no action, by the status',
    status: `${POSTFIX}\n${recipient('Status: 4.2.1')}`,
    expected: [{ recipient: RECIPIENT, status: '4.2.1', action: 'delayed' }],
  },
  {
    name: 'no status, by the diagnostic',
    status: `${POSTFIX}\n${recipient('Action: failed', 'Diagnostic-Code: smtp; 550 5.7.1 blocked')}`,
    expected: [failed('5.7.1')],
  },
  {
    name: 'neither status nor diagnostic',
    status: `${POSTFIX}\n${recipient('Action: failed')}`,
    expected: [failed(null)],
  },
  {
    name: 'action in capitals',
    status: `${POSTFIX}\n${recipient('Action: FAILED', 'Status: 5.1.1')}`,
    expected: [failed()],
  },
  {
    name: 'action with a comment',
    status: `${POSTFIX}\n${recipient('Action: failed (bad destination)', 'Status: 5.1.1')}`,
    expected: [failed()],
  },
  {
    name: 'field names in lower case',
    status: `reporting-mta: dns; mx.example.test\n\nfinal-recipient: rfc822; ${RECIPIENT}\naction: failed\nstatus: 5.1.1\n`,
    expected: [failed()],
  },
  {
    name: 'no empty line between the groups',
    status: `Reporting-MTA: dns; mx.example.test\n${recipient('Action: failed', 'Status: 5.1.1')}`,
    expected: [failed()],
  },
  {
    name: 'no empty line between recipients',
    status: `${POSTFIX}\n${recipient('Action: failed', 'Status: 5.1.1')}${group('Final-Recipient: rfc822; zweiter@there.example', 'Action: failed', 'Status: 5.1.2')}`,
    expected: [failed(), failed('5.1.2', 'zweiter@there.example')],
  },
  {
    name: 'several empty lines',
    status: `\n\n${POSTFIX}\n\n\n${recipient('Action: failed', 'Status: 5.1.1')}\n\n`,
    expected: [failed()],
  },
  { name: 'no group of the message', status: recipient('Action: failed', 'Status: 5.1.1'), expected: [failed()] },
  {
    name: 'internationalised',
    statusType: 'message/global-delivery-status',
    status: `${POSTFIX}\n${group('Final-Recipient: utf-8; kündin@there.example', 'Action: failed', 'Status: 5.1.1')}`,
    expected: [failed('5.1.1', 'kündin@there.example')],
  },
  {
    name: 'the recipient of a report by X400',
    status: `${POSTFIX}\n${group('Final-Recipient: x400; /S=kunde/', `Original-Recipient: rfc822; ${RECIPIENT}`, 'Action: failed', 'Status: 5.1.1')}`,
    expected: [failed()],
  },
  {
    name: 'a diagnostic of many lines',
    status: `${POSTFIX}\n${recipient('Action: failed', 'Status: 5.7.26', 'Diagnostic-Code: smtp; 550-5.7.26 This mail has been blocked because the sender is\n 550-5.7.26 unauthenticated.\n 550 5.7.26 See the help')}`,
    expected: [{ ...failed('5.7.26'), diagnostic: /unauthenticated.*See the help/ }],
  },
  {
    name: 'Exchange with supplementary information',
    status: `${POSTFIX}\n${recipient('Action: failed', 'Status: 5.2.3', 'X-Supplementary-Info: < #5.2.3 smtp;550 5.2.3 too large>')}`,
    expected: [{ ...failed('5.2.3'), diagnostic: /too large/ }],
  },
  {
    name: 'an IP address that looks like a status',
    status: `${POSTFIX}\n${recipient('Action: failed', 'Diagnostic-Code: smtp; 550 host 5.1.1.20 is blocked')}`,
    expected: [{ ...failed(null), diagnostic: /blocked/ }],
  },
]

function sample(report: Report): DsnSample {
  const {
    name,
    status,
    expected,
    text = 'Ihre Nachricht konnte nicht zugestellt werden.',
    returned = RETURNED,
  } = report
  const headers =
    report.headers ??
    'From: MAILER-DAEMON@mx.example.test (Mail Delivery System)\nSubject: Undelivered Mail Returned to Sender\nAuto-Submitted: auto-replied'
  const back =
    returned === ''
      ? ''
      : `--b\nContent-Type: ${report.returnedType ?? 'message/rfc822'}\n\n${returned}${report.returnedType ? '' : '\nText des Angebots\n'}`
  const raw = `${headers}\nTo: wir@example.test\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n${text}\n--b\nContent-Type: ${report.statusType ?? 'message/delivery-status'}\n\n${status}\n${back}\n--b--\n`
  return { name, raw: Buffer.from(raw.replaceAll('\n', '\r\n')), reports: expected, originalMessageId: ORIGINAL_ID }
}

export const dsnCorpus = (): readonly DsnSample[] => [
  ...REPORTS.map(sample),
  ...PROSE_REPORTS.map(({ name, headers, text, reports, originalMessageId = null }) => ({
    name,
    raw: Buffer.from(
      `${headers}\nTo: wir@example.test\nContent-Type: text/plain; charset=utf-8\n\n${text}`.replaceAll('\n', '\r\n'),
    ),
    reports,
    originalMessageId,
  })),
]
