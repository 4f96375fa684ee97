// Delivery reports that are written for people, as servers send them, and mail that only looks like one.

import type { ExpectedReport } from './dsn-corpus.ts'

interface ProseReport {
  readonly name: string
  readonly headers: string
  readonly text: string
  readonly reports: readonly ExpectedReport[]
  readonly originalMessageId?: string
}

const K = 'kunde@there.example'
const ID = '<nr-4711@out.example.test>'
const failed = (status: string | null, diagnostic?: RegExp, recipient = K): ExpectedReport => ({
  recipient,
  status,
  action: 'failed',
  ...(diagnostic && { diagnostic }),
})
const COPY = `Return-Path: <wir@example.test>\nFrom: wir@example.test\nTo: ${K}\nMessage-ID: ${ID}\nSubject: Angebot\n`
const DAEMON = 'From: MAILER-DAEMON@mx.example.test'

export const PROSE_REPORTS: readonly ProseReport[] = [
  {
    name: 'qmail',
    headers: `${DAEMON}\nSubject: failure notice`,
    text: `Hi. This is the qmail-send program at mx.example.test.\nI'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n<${K}>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 <${K}>: Recipient address rejected\nGiving up on 192.0.2.1.\n\n--- Below this line is a copy of the message.\n\n${COPY}`,
    reports: [failed('5.1.1', /^Remote host said: 550 5\.1\.1/)],
    originalMessageId: ID,
  },
  {
    name: 'qmail, a local user',
    headers: `${DAEMON}\nSubject: failure notice`,
    text: `Hi. This is the qmail-send program at mx.example.test.\nI'm afraid I wasn't able to deliver your message to the following addresses.\n\n<${K}>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n\n${COPY}`,
    reports: [failed('5.1.1', /no mailbox here/)],
    originalMessageId: ID,
  },
  {
    name: 'qmail, several recipients',
    headers: `${DAEMON}\nSubject: failure notice`,
    text: `Hi. This is the qmail-send program at mx.example.test.\n\n<${K}>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n<zweiter@there.example>:\n192.0.2.1 failed after I sent the message.\nRemote host said: 552 5.2.2 Mailbox full\n\n--- Below this line is a copy of the message.\n\n${COPY}`,
    reports: [failed('5.1.1'), failed('5.2.2', /Mailbox full/, 'zweiter@there.example')],
    originalMessageId: ID,
  },
  {
    name: 'Exim',
    headers: `From: Mail Delivery System <Mailer-Daemon@mx.example.test>\nX-Failed-Recipients: ${K}\nAuto-Submitted: auto-replied\nSubject: Mail delivery failed: returning message to sender`,
    text: `This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  ${K}\n    host mx.there.example [192.0.2.1]\n    SMTP error from remote mail server after RCPT TO:<${K}>:\n    550 5.1.1 <${K}>: Recipient address rejected\n\n------ This is a copy of the message, including all the headers. ------\n\n${COPY}`,
    reports: [failed('5.1.1', /^550 5\.1\.1/)],
    originalMessageId: ID,
  },
  {
    name: 'Exim, without an enhanced code',
    headers: `From: Mail Delivery System <Mailer-Daemon@mx.example.test>\nSubject: Mail delivery failed: returning message to sender`,
    text: `This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  ${K}\n    Unrouteable address\n\n------ This is a copy of the message, including all the headers. ------\n\n${COPY}`,
    reports: [failed(null, /^Unrouteable address$/)],
    originalMessageId: ID,
  },
  {
    name: 'Exim, two failed',
    headers: `From: Mail Delivery System <Mailer-Daemon@mx.example.test>\nX-Failed-Recipients: ${K},\n  zweiter@there.example\nSubject: Mail delivery failed: returning message to sender`,
    text: `This message was created automatically by mail delivery software.\n\nThe following address(es) failed:\n\n  ${K}\n    550 5.1.1 no such user\n  zweiter@there.example\n    552 5.2.2 quota exceeded\n\n------ This is a copy of the message, including all the headers. ------\n${COPY}`,
    reports: [failed('5.1.1', /no such user/), failed('5.2.2', /quota/, 'zweiter@there.example')],
    originalMessageId: ID,
  },
  {
    name: 'Exim, delayed',
    headers: `From: Mail Delivery System <Mailer-Daemon@mx.example.test>\nSubject: Warning: message 1abc-0002-XY delayed 24 hours`,
    text: `This message was created automatically by mail delivery software.\nA message that you sent has not yet been delivered to one or more of its\nrecipients after more than 24 hours on the queue on mx.example.test.\n\nThe message identifier is:     1abc-0002-XY\n\nThe address to which the message has not yet been delivered is:\n\n  ${K}\n    Delay reason: Connection timed out\n\nNo action is required on your part.`,
    reports: [{ recipient: K, status: null, action: 'delayed', diagnostic: /Connection timed out/ }],
  },
  {
    name: 'Postfix, text alone',
    headers: `From: MAILER-DAEMON@mx.example.test (Mail Delivery System)\nSubject: Undelivered Mail Returned to Sender`,
    text: `This is the mail system at host mx.example.test.\n\nI'm sorry to have to inform you that your message could not\nbe delivered to one or more recipients. It's attached below.\n\n                   The mail system\n\n<${K}>: host mx.there.example[192.0.2.1] said: 550 5.1.1 <${K}>: Recipient\n    address rejected: User unknown (in reply to RCPT TO command)\n`,
    reports: [failed('5.1.1', /User unknown/)],
  },
  {
    name: 'Postfix, name not found',
    headers: `From: MAILER-DAEMON@mx.example.test (Mail Delivery System)\nSubject: Undelivered Mail Returned to Sender`,
    text: `This is the mail system at host mx.example.test.\n\nI'm sorry to have to inform you that your message could not\nbe delivered to one or more recipients.\n\n<${K}>: Host or domain name not found. Name service error for\n    name=there.example type=A: Host not found\n`,
    reports: [failed(null, /Host or domain name not found/)],
  },
  {
    name: 'Exchange 2003',
    headers: 'From: System Administrator <postmaster@there.example>\nSubject: Undeliverable: Angebot',
    text: `Your message\n\n  To:      ${K}\n  Subject: Angebot\n  Sent:    Mon, 23 Nov 2026 10:00:00 +0100\n\ndid not reach the following recipient(s):\n\n'${K}' on Mon, 23 Nov 2026 10:00:01 +0100\n    The e-mail account does not exist at the organization this message was sent to.\n    <mx.there.example #5.1.1 smtp;550 5.1.1 User unknown>\n`,
    reports: [failed('5.1.1', /5\.1\.1/)],
  },
  {
    name: 'Exchange 2003, in German',
    headers:
      'From: Systemadministrator <postmaster@there.example>\nSubject: Unzustellbar: Angebot\nX-MS-Exchange-Message-Is-Ndr:',
    text: `Ihre Nachricht hat einige oder alle Empfänger nicht erreicht.\n\n      Betreff:  Angebot\n\nFolgende(r) Empfänger kann/können nicht erreicht werden:\n\n      '${K}' am 23.11.2026 10:00\n            Das E-Mail-Konto ist in der Organisation nicht vorhanden.\n            <mx.there.example #5.1.1>\n`,
    reports: [failed('5.1.1')],
  },
  {
    name: 'Exchange 2016',
    headers: `From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@there.example>\nSubject: Undeliverable: Angebot\nX-MS-Exchange-Message-Is-Ndr:\nIn-Reply-To: ${ID}\nReferences: ${ID}`,
    text: `Delivery has failed to these recipients or groups:\n\n${K}<mailto:${K}>\nThe email address you entered couldn't be found. Please check the recipient's email address and try to resend the message.\n\n\n\n\n\nDiagnostic information for administrators:\n\nGenerating server: ex.there.example\n\n${K}\nRemote Server returned '550 5.1.1 RESOLVER.ADR.RecipNotFound; not found'\n\nOriginal message headers:\n\nReceived: from ex.there.example (192.0.2.1)\nFrom: wir@example.test\nTo: ${K}\n`,
    reports: [failed('5.1.1', /RecipNotFound/)],
    originalMessageId: ID,
  },
  {
    name: 'Exchange 2016, in German',
    headers: `From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@there.example>\nSubject: Unzustellbar: Angebot\nIn-Reply-To: ${ID}`,
    text: `Fehler bei der Nachrichtenzustellung an folgende Empfänger oder Gruppen:\n\n${K} (${K})\nDie eingegebene E-Mail-Adresse konnte nicht gefunden werden.\n\nDiagnoseinformationen für Administratoren:\n\nGenerierender Server: ex.there.example\n\n${K}\n#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##\n\nUrsprüngliche Nachrichtenkopfzeilen:\n\nFrom: wir@example.test\nTo: ${K}\n`,
    reports: [failed('5.1.1', /RecipNotFound/)],
    originalMessageId: ID,
  },
  {
    name: 'Exchange Online, text alone',
    headers: `From: postmaster@there.example\nSubject: Undeliverable: Angebot\nX-MS-Exchange-Message-Is-Ndr:\nIn-Reply-To: ${ID}`,
    text: `Your message to ${K} couldn't be delivered.\n\nkunde wasn't found at there.example.\n\nwir Office 365 kunde\nAction Required Recipient\n\nUnknown To address\n\nMore Info for Email Admins\nStatus code: 550 5.1.10\n\nOriginal Message Details\nSender Address: wir@example.test\nRecipient Address: ${K}\n\nError Details\nReported error: 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup\n`,
    reports: [failed('5.1.10', /5\.1\.10/)],
    originalMessageId: ID,
  },
  {
    name: 'Exchange Online, text alone, in German',
    headers: `From: postmaster@there.example\nSubject: Unzustellbar: Angebot\nX-MS-Exchange-Message-Is-Ndr:\nIn-Reply-To: ${ID}`,
    text: `Ihre Nachricht an ${K} konnte nicht zugestellt werden.\n\nkunde wurde unter there.example nicht gefunden.\n\nFehlerdetails\nGemeldeter Fehler: 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found\n`,
    reports: [failed('5.1.10', /RecipientNotFound/)],
    originalMessageId: ID,
  },
  {
    name: 'Gmail, without a report part',
    headers: `From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nSubject: Delivery Status Notification (Failure)\nX-Failed-Recipients: ${K}\nReferences: ${ID}\nIn-Reply-To: ${ID}`,
    text: `\n** Address not found **\n\nYour message wasn't delivered to ${K} because the address couldn't be found, or is unable to receive mail.\n\nLearn more here: https://support.google.com/mail/?p=NoSuchUser\n\nThe response was:\n\n550 5.1.1 The email account that you tried to reach does not exist.\n`,
    reports: [failed('5.1.1', /does not exist/)],
    originalMessageId: ID,
  },
  {
    name: 'Gmail, the old form',
    headers: `From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nSubject: Delivery Status Notification (Failure)\nX-Failed-Recipients: ${K}`,
    text: `Delivery to the following recipient failed permanently:\n\n     ${K}\n\nTechnical details of permanent failure: \nGoogle tried to deliver your message, but it was rejected by the server for the recipient domain there.example by mx.there.example. [192.0.2.1].\n\nThe error that the other server returned was:\n550 5.7.1 Message rejected\n\n----- Original message -----\n\n${COPY}`,
    reports: [failed('5.7.1', /Message rejected/)],
    originalMessageId: ID,
  },
  {
    name: 'Gmail, delayed, the old form',
    headers: `From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nSubject: Delivery Status Notification (Delay)`,
    text: `This is an automatically generated Delivery Status Notification\n\nTHIS IS A WARNING MESSAGE ONLY.\n\nDelivery to the following recipient has been delayed:\n\n     ${K}\n\nMessage will be retried for 2 more day(s)\n`,
    reports: [{ recipient: K, status: null, action: 'delayed' }],
  },
  {
    name: 'GMX and 1&1',
    headers: `From: Mail Delivery System <mailer-daemon@kundenserver.example>\nSubject: Mail delivery failed: returning message to sender`,
    text: `This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of\nits recipients. This is a permanent error.\n\nThe following address failed:\n\n${K}:\nSMTP error from remote server for RCPT TO command, host: mx.there.example (192.0.2.1) reason: 550 5.1.1 User unknown\n\n--- The header of the original message is following. ---\n\n${COPY}`,
    reports: [failed('5.1.1', /User unknown/)],
    originalMessageId: ID,
  },
  {
    name: 'Yahoo',
    headers: `From: MAILER-DAEMON@yahoo.example\nSubject: Failure Notice`,
    text: `Sorry, we were unable to deliver your message to the following address.\n\n<${K}>:\n550: 5.1.1 <${K}>: Recipient address rejected: User unknown\n\n--- Below this line is a copy of the message.\n\n${COPY}`,
    reports: [failed('5.1.1', /User unknown/)],
    originalMessageId: ID,
  },
  {
    name: 'Sendmail, text alone',
    headers: `From: Mail Delivery Subsystem <MAILER-DAEMON@mx.example.test>\nSubject: Returned mail: User unknown`,
    text: `The original message was received at Mon, 23 Nov 2026 10:00:00 +0100\nfrom localhost\n\n   ----- The following addresses had permanent fatal errors -----\n<${K}>\n    (reason: 550 5.1.1 <${K}>... User unknown)\n\n   ----- Transcript of session follows -----\n... while talking to mx.there.example.:\n`,
    reports: [failed('5.1.1', /User unknown/)],
  },
  {
    name: 'IIS',
    headers: 'From: postmaster@there.example\nSubject: Delivery Status Notification (Failure)',
    text: `This is an automatically generated Delivery Status Notification.\n\nDelivery to the following recipients failed.\n\n       ${K}\n\n`,
    reports: [failed(null)],
  },
  {
    name: 'Domino, text alone',
    headers: 'From: Postmaster@there.example\nSubject: Delivery Failure Report',
    text: `Your message\n  Subject: Angebot\n\nwas not delivered to:\n  ${K}\n\nbecause:\n  User kunde (${K}) not listed in Domino Directory\n`,
    reports: [failed(null, /because|not listed/)],
  },
  {
    name: 'X-Failed-Recipients, and no word in the text',
    headers: `From: noreply@mx.example.test\nSubject: Problem\nX-Failed-Recipients: ${K}, zweiter@there.example`,
    text: 'Zustellung nicht moeglich.\n',
    reports: [failed(null), failed(null, undefined, 'zweiter@there.example')],
  },
]

/** None of these is a report. */
export const LOOKALIKES: readonly (readonly [name: string, raw: string])[] = [
  [
    'an answer to a report',
    `From: Erika <erika@there.example>\nSubject: Re: Undeliverable: Angebot\nIn-Reply-To: ${ID}\n\nDas war meine alte Adresse, bitte an neu@there.example.\n`,
  ],
  [
    'a forwarded report',
    `From: Erika <erika@there.example>\nSubject: Fwd: Undelivered Mail Returned to Sender\n\nHallo, was ist das?\n\n> This is the mail system at host mx.example.test.\n> <${K}>: 550 5.1.1 unknown\n`,
  ],
  [
    'a person who writes about delivery',
    `From: Erika <erika@there.example>\nSubject: Delivery report for July\n\nThe goods could not be delivered to one or more of the addresses.\n`,
  ],
  [
    'a parcel service',
    'From: DHL <noreply@paket.example>\nSubject: Zustellung fehlgeschlagen\n\nIhre Sendung an Musterstr. 1 konnte nicht zugestellt werden.\n',
  ],
  [
    'the postmaster in person',
    'From: postmaster@there.example\nSubject: Umzug des Mailservers\n\nLiebe Kollegen, am Montag ziehen wir um.\n',
  ],
  [
    'a newsletter with an empty return path',
    'Return-Path: <>\nFrom: news@shop.example\nSubject: Angebote\n\n20 % auf alles.\n',
  ],
  [
    'a mail with an address on a line of its own',
    `From: Erika <erika@there.example>\nSubject: Kontakt\n\n${K}\n\n550 Euro im Monat.\n`,
  ],
  [
    'an order with numbers like codes',
    'From: shop@shop.example\nSubject: Bestellung 5.1.1\n\nArtikel 550 5.1.1 Kabel\n',
  ],
  ['a subject alone', 'From: Erika <erika@there.example>\nSubject: Undeliverable: Angebot\n\nsiehe oben\n'],
  [
    'an automatic reply',
    `From: ${K}\nSubject: Automatic reply: Angebot\nAuto-Submitted: auto-replied\n\nI am out of office.\n`,
  ],
]
