// Business mail as it arrives in the mailboxes of a small German company: encoded words, 8-bit and quoted-printable bodies,
// HTML, attachments, lines that begin with a dot, answers, automatic replies, bounces. The same seed makes the same mail
// (RFC 5322, 2045 to 2047, 2231, 3464, 3834).

import { createHash } from 'node:crypto'
import { pdfOf } from './pdf.ts'

export interface SampleMailAbout {
  /** Chooses everything but what is given here. */
  readonly seed: string
  readonly to: string
  readonly messageId: string
  readonly date: Date
  /** Earlier mail to the same mailbox: its sender comes back to it. */
  readonly answers?: SampleMailAbout
}

interface Correspondent {
  readonly name: string
  readonly address: string
}

const CORRESPONDENTS: readonly Correspondent[] = [
  { name: 'Jörg Weiß', address: 'j.weiss@nordlicht-technik.example' },
  { name: 'Käthe Brünings', address: 'einkauf@bruenings-soehne.example' },
  { name: 'Müller & Söhne GmbH', address: 'bestellung@mueller-soehne.example' },
  { name: 'Sarah Whitfield', address: 'sarah.whitfield@harbour-tools.example' },
  { name: 'Spedition Grünwald', address: 'dispo@spedition-gruenwald.example' },
  { name: 'Accounts Payable', address: 'ap@harbour-tools.example' },
  { name: 'Ömer Yıldız', address: 'o.yildiz@werkzeug-ost.example' },
  { name: 'Landratsamt Musterkreis', address: 'poststelle@musterkreis.example' },
]

const ARTICLES = [
  'Schraubensatz M8',
  'Dichtungsring 40 mm',
  'Förderband-Rolle',
  'Hydraulikschlauch 3/8"',
  'Prüfgerät PX-2',
]

/** Numbers from a seed: each call depends on the seed and on how often it was called. */
export class Dice {
  #rolled = 0
  readonly #seed: string

  constructor(seed: string) {
    this.#seed = seed
  }

  bytes(count: number): Buffer {
    const blocks: Buffer[] = []
    for (let have = 0; have < count; have += 32) {
      blocks.push(
        createHash('sha256')
          .update(`${this.#seed}/${this.#rolled++}`)
          .digest(),
      )
    }
    return Buffer.concat(blocks).subarray(0, count)
  }

  below(limit: number): number {
    return this.bytes(4).readUInt32BE() % limit
  }

  pick<T>(list: readonly [T, ...T[]] | readonly T[]): T {
    const item = list[this.below(list.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }
}

interface Content {
  /** Who writes, where it is nobody else. */
  readonly from?: Correspondent
  readonly subject: string
  /** Header fields of the content, then the empty line and the body. */
  readonly headers: readonly string[]
  readonly body: Buffer
}

export function sampleMail(about: SampleMailAbout): Buffer {
  const dice = new Dice(about.seed)
  const { from, content } = compose(about, dice)
  const header = [
    `Received: from mail.${domainOf(from.address)} (mail.${domainOf(from.address)} [192.0.2.${1 + dice.below(250)}])`,
    `\tby mx.${domainOf(about.to)} with ESMTPS id ${dice.bytes(6).toString('hex')}`,
    `\tfor <${about.to}>; ${mailDate(about.date)}`,
    `Date: ${mailDate(about.date)}`,
    `From: ${phrase(from.name)} <${from.address}>`,
    `To: <${about.to}>`,
    `Message-ID: ${about.messageId}`,
    `Subject: ${encodedWords(content.subject, 'Subject: '.length)}`,
    'MIME-Version: 1.0',
    ...content.headers,
  ]
  return Buffer.concat([Buffer.from(`${header.join('\r\n')}\r\n\r\n`), content.body])
}

function compose(about: SampleMailAbout, dice: Dice): { from: Correspondent; content: Content } {
  if (about.answers) return answer(about.answers)
  const from = dice.pick(CORRESPONDENTS)
  const content = dice.pick(KINDS)(dice, from, about)
  return { from: content.from ?? from, content }
}

/** Nobody comes back to what a machine has written. */
export const isByHand = (about: SampleMailAbout): boolean =>
  !compose(about, new Dice(about.seed)).content.headers.some((field) => /^(?:Auto-Submitted|Precedence):/.test(field))

/** The correspondent has thought of something else. */
function answer(about: SampleMailAbout): { from: Correspondent; content: Content } {
  const { from, content } = compose(about, new Dice(about.seed))
  const text = `Guten Tag,\n\nhaben Sie schon etwas gehört? Wir bitten um kurze Rückmeldung.\n\n${from.name}\n\n> Am ${about.date.toISOString().slice(0, 10)} schrieben wir:\n> ${content.subject}\n`
  return {
    from,
    content: {
      subject: `AW: ${content.subject}`,
      headers: [
        `In-Reply-To: ${about.messageId}`,
        `References: ${about.messageId}`,
        'Content-Type: text/plain; charset=utf-8',
        'Content-Transfer-Encoding: 8bit',
      ],
      body: crlf(text),
    },
  }
}

const KINDS: readonly ((dice: Dice, from: Correspondent, about: SampleMailAbout) => Content)[] = [
  (dice, from) => ({
    subject: `Anfrage: Lieferzeit für ${dice.pick(ARTICLES)}`,
    headers: ['Content-Type: text/plain; charset=utf-8', 'Content-Transfer-Encoding: 8bit'],
    body: crlf(
      `Guten Tag,\n\nkönnen Sie uns bitte die Lieferzeit für ${10 + dice.below(500)} Stück\n„${dice.pick(ARTICLES)}“ nennen?\nPreise bitte in €.\n\nMit freundlichen Grüßen\n${from.name}\n`,
    ),
  }),
  (dice, from) => ({
    subject: `Re: Purchase order ${40_000 + dice.below(9_999)}`,
    headers: ['Content-Type: text/plain; charset=us-ascii', 'Content-Transfer-Encoding: 7bit'],
    body: crlf(
      `Hello,\n\nplease confirm the following items:\n\n.bolts, box of ${50 + dice.below(200)}\n..washers\n.\nThe line above is on purpose: our ERP prints it.\n\nKind regards\n${ascii(from.name)}\n`,
    ),
  }),
  (dice, from) => ({
    subject: `Auftragsbestätigung Nr. ${100_000 + dice.below(899_999)} – Änderung der Lieferadresse und des Ansprechpartners für die Werkstätten`,
    headers: ['Content-Type: text/plain; charset=iso-8859-1', 'Content-Transfer-Encoding: quoted-printable'],
    body: quotedPrintable(
      Buffer.from(
        `Sehr geehrte Damen und Herren,\n\nbitte ändern Sie die Lieferadresse wie folgt:\n\nStraße: Mühlenweg ${1 + dice.below(90)}\nOrt: 12345 Musterstadt\n\nViele Grüße\n${latin1(from.name)}\n`,
        'latin1',
      ),
    ),
  }),
  (dice, from) => {
    const boundary = `=_alt_${dice.bytes(9).toString('hex')}`
    const text = `Guten Morgen,\n\nunser Fahrer trifft heute gegen ${7 + dice.below(9)}:30 Uhr ein.\nBitte Rampe ${1 + dice.below(6)} freihalten – danke!\n\n${from.name}\n`
    const html = `<html><body><p>Guten Morgen,</p><p>${text.split('\n').slice(2, 4).join('<br>')}</p><p>${from.name}</p></body></html>\n`
    return {
      subject: 'Avis: Anlieferung heute, Rückfragen bitte über die Disposition',
      headers: [`Content-Type: multipart/alternative; boundary="${boundary}"`],
      body: multipart(boundary, [
        [utf8QuotedPrintable('text/plain'), quotedPrintable(Buffer.from(text))],
        [utf8QuotedPrintable('text/html'), quotedPrintable(Buffer.from(html))],
      ]),
    }
  },
  (dice, from) => {
    const number = `RE-2026-${1_000 + dice.below(8_999)}`
    const amount = `${100 + dice.below(9_000)},${10 + dice.below(89)} €`
    const pdf = pdfOf([
      from.name,
      '',
      `Rechnung ${number}`,
      '',
      ...Array.from(
        { length: 1 + dice.below(8) },
        (_, i) => `${i + 1}. ${dice.pick(ARTICLES)}: ${1 + dice.below(90)} Stück`,
      ),
      '',
      `Gesamtbetrag: ${amount}`,
      'Zahlbar innerhalb von 14 Tagen ohne Abzug.',
    ])
    return withAttachment(dice, {
      subject: `Rechnung ${number} über ${amount}`,
      text: `Anbei erhalten Sie unsere Rechnung ${number}.\nZahlbar innerhalb von 14 Tagen ohne Abzug.\n\nMit freundlichen Grüßen\n${from.name}\n`,
      type: 'application/pdf',
      fileName: `Rechnung für Muster GmbH ${number}.pdf`,
      content: pdf,
    })
  },
  (dice, from) => {
    const rows = Array.from(
      { length: 20 + dice.below(300) },
      () => `${dice.pick(ARTICLES)};${dice.below(1_000)};${dice.below(90)},50`,
    )
    return withAttachment(dice, {
      subject: 'Stock list / Bestandsliste',
      text: `Hi,\n\nattached you will find the current stock list.\n\nBest\n${from.name}\n`,
      type: 'text/csv; charset=utf-8',
      fileName: 'Bestände.csv',
      content: Buffer.from(`Artikel;Menge;Preis\r\n${rows.join('\r\n')}\r\n`),
    })
  },
  (dice, from) => {
    const boundary = `=_rel_${dice.bytes(9).toString('hex')}`
    const offers = Array.from(
      { length: 3 },
      () => `<li>${dice.pick(ARTICLES)} ab ${1 + dice.below(90)},90&nbsp;&euro;</li>`,
    )
    const html = `<html><head><style>h1 { color: #060 }</style></head><body><img src="cid:logo@newsletter" alt="Logo">\n<h1>Herbstangebote f&uuml;r Werkst&auml;tten</h1>\n<ul>${offers.join('\n')}</ul>\n<p><a href="https://newsletter.example/abmelden">Abmelden</a></p></body></html>\n`
    return {
      subject: `Newsletter ${from.name}: Herbstangebote für Werkstätten`,
      headers: [
        `List-Unsubscribe: <https://newsletter.example/abmelden>`,
        'Precedence: bulk',
        `Content-Type: multipart/related; boundary="${boundary}"`,
      ],
      body: multipart(boundary, [
        [utf8QuotedPrintable('text/html'), quotedPrintable(Buffer.from(html))],
        [
          [
            'Content-Type: image/gif; name="logo.gif"',
            'Content-ID: <logo@newsletter>',
            'Content-Disposition: inline; filename="logo.gif"',
            'Content-Transfer-Encoding: base64',
          ],
          base64(DOT_GIF),
        ],
      ]),
    }
  },
  (dice, from) => ({
    subject: `Automatische Antwort: Auftrag ${2_000 + dice.below(99)} ist unterwegs`,
    headers: [
      'Auto-Submitted: auto-replied',
      'X-Auto-Response-Suppress: All',
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: 8bit',
    ],
    body: crlf(
      `Guten Tag,\n\nich bin bis zum ${1 + dice.below(28)}. nicht im Büro. Ihre Nachricht wird nicht weitergeleitet.\n\n${from.name}\n`,
    ),
  }),
  (dice, _, about) => bounce(dice, about.to),
]

/** What the recipient's server says of a mail that it does not take (RFC 3464). */
function bounce(dice: Dice, sender: string): Content {
  const boundary = `=_dsn_${dice.bytes(9).toString('hex')}`
  const recipient = 'unbekannt@example.test'
  const diagnostic = `550 5.1.1 <${recipient}>: Recipient address rejected: User unknown`
  const seven = (type: string): string[] => [`Content-Type: ${type}; charset=us-ascii`]
  return {
    from: { name: 'Mail Delivery System', address: 'MAILER-DAEMON@mx.example.test' },
    subject: 'Undelivered Mail Returned to Sender',
    headers: [
      'Auto-Submitted: auto-replied',
      `Content-Type: multipart/report; report-type=delivery-status; boundary="${boundary}"`,
    ],
    body: multipart(boundary, [
      [
        seven('text/plain'),
        crlf(
          `This is the mail system at host mx.example.test.\n\nYour message could not be delivered to one or more recipients.\n\n<${recipient}>: ${diagnostic}\n`,
        ),
      ],
      [
        ['Content-Type: message/delivery-status'],
        crlf(
          `Reporting-MTA: dns; mx.example.test\n\nFinal-Recipient: rfc822; ${recipient}\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; ${diagnostic}\n`,
        ),
      ],
      [
        ['Content-Type: text/rfc822-headers'],
        crlf(
          `From: ${sender}\nTo: ${recipient}\nSubject: Auftrag ${2_000 + dice.below(99)} ist unterwegs\nMessage-ID: <${dice.bytes(8).toString('hex')}@${domainOf(sender)}>\n`,
        ),
      ],
    ]),
  }
}

/** One pixel. */
const DOT_GIF = Buffer.from('R0lGODlhAQABAIAAAABmAAAAACwAAAAAAQABAAACAkQBADs=', 'base64')

const utf8QuotedPrintable = (type: string): string[] => [
  `Content-Type: ${type}; charset=utf-8`,
  'Content-Transfer-Encoding: quoted-printable',
]

function withAttachment(
  dice: Dice,
  mail: { subject: string; text: string; type: string; fileName: string; content: Buffer },
): Content {
  const boundary = `=_mix_${dice.bytes(9).toString('hex')}`
  return {
    subject: mail.subject,
    headers: [`Content-Type: multipart/mixed; boundary="${boundary}"`],
    body: multipart(boundary, [
      [['Content-Type: text/plain; charset=utf-8', 'Content-Transfer-Encoding: 8bit'], crlf(mail.text)],
      [
        [
          `Content-Type: ${mail.type}`,
          `Content-Disposition: attachment; filename*=utf-8''${encodeURIComponent(mail.fileName)}`,
          'Content-Transfer-Encoding: base64',
        ],
        base64(mail.content),
      ],
    ]),
  }
}

function multipart(boundary: string, parts: readonly (readonly [readonly string[], Buffer])[]): Buffer {
  const encoded = parts.flatMap(([headers, body]) => [
    Buffer.from(`--${boundary}\r\n${headers.join('\r\n')}\r\n\r\n`),
    body,
  ])
  return Buffer.concat([...encoded, Buffer.from(`--${boundary}--\r\n`)])
}

const base64 = (bytes: Buffer): Buffer =>
  Buffer.from(`${bytes.toString('base64').replace(/.{76}(?=.)/g, '$&\r\n')}\r\n`)
const domainOf = (address: string): string => address.slice(address.lastIndexOf('@') + 1)
const crlf = (text: string): Buffer => Buffer.from(text.replaceAll('\n', '\r\n'))
const mailDate = (date: Date): string => date.toUTCString().replace('GMT', '+0000')
const ascii = (text: string): string => text.normalize('NFD').replace(/[^\x20-\x7e]/g, '')
const latin1 = (text: string): string => (Buffer.from(text, 'latin1').toString('latin1') === text ? text : ascii(text))

const phrase = (name: string): string =>
  /^[\x20-\x7e]*$/.test(name) ? `"${name}"` : encodedWords(name, 'From: '.length)

/** RFC 2047: words of at most 75 characters, whole characters in each, folded so that no line passes 76. */
function encodedWords(text: string, indent: number): string {
  if (/^[\x20-\x7e]*$/.test(text) && text.length + indent < 76) return text
  const words: string[] = []
  let word = ''
  for (const character of text) {
    const room = words.length === 0 ? 45 - indent : 45
    if (Buffer.byteLength(word + character) > room) {
      words.push(word)
      word = ''
    }
    word += character
  }
  words.push(word)
  return words.map((part) => `=?utf-8?B?${Buffer.from(part).toString('base64')}?=`).join('\r\n ')
}

/** RFC 2045 section 6.7 for text with LF line ends. */
function quotedPrintable(text: Buffer): Buffer {
  const lines = text
    .toString('latin1')
    .split('\n')
    .map((line) => {
      let out = ''
      let width = 0
      for (const [at, character] of line.split('').entries()) {
        const plain = /[!-<>-~]/.test(character) || (character === ' ' && at < line.length - 1)
        const unit = plain ? character : `=${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
        if (width + unit.length > 75) {
          out += '=\r\n'
          width = 0
        }
        out += unit
        width += unit.length
      }
      return out
    })
  return Buffer.from(lines.join('\r\n'))
}
