// Business mail as it arrives in the mailboxes of a small German company: encoded words, 8-bit and quoted-printable bodies,
// HTML, attachments, lines that begin with a dot. The same seed makes the same mail (RFC 5322, 2045 to 2047, 2231).

import { createHash } from 'node:crypto'

export interface SampleMailAbout {
  /** Chooses everything but what is given here. */
  readonly seed: string
  readonly to: string
  readonly messageId: string
  readonly date: Date
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
  readonly subject: string
  /** Header fields of the content, then the empty line and the body. */
  readonly headers: readonly string[]
  readonly body: Buffer
}

export function sampleMail(about: SampleMailAbout): Buffer {
  const dice = new Dice(about.seed)
  const from = dice.pick(CORRESPONDENTS)
  const content = dice.pick(KINDS)(dice, from)
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

const KINDS: readonly ((dice: Dice, from: Correspondent) => Content)[] = [
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
    const pdf = Buffer.concat([
      Buffer.from('%PDF-1.7\n'),
      dice.bytes(4_000 + dice.below(32_000)),
      Buffer.from('\n%%EOF\n'),
    ])
    return withAttachment(dice, {
      subject: `Rechnung ${number} über ${100 + dice.below(9_000)},${10 + dice.below(89)} €`,
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
]

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
        Buffer.from(`${mail.content.toString('base64').replace(/.{76}(?=.)/g, '$&\r\n')}\r\n`),
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
