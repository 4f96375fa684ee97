// Messages in every shape that senders and broken programs make, each with what is to be read out of it. Made, not collected: nothing
// in it was ever anybody's mail.

import { CHARSETS } from './charset-samples.ts'
import { brokenShapes } from './mime-broken.ts'
import { structureShapes } from './mime-structures.ts'

export interface CorpusMail {
  readonly name: string
  readonly raw: Buffer
  /** Only what is given is compared. */
  readonly expected: {
    readonly text?: string | null
    readonly html?: string | null
    readonly subject?: string | null
    readonly files?: readonly string[]
    /** Bytes of the attachments, by their place. */
    readonly bytes?: readonly Buffer[]
    readonly kind?: string
  }
}

type Transfer = 'base64' | 'quoted-printable' | '8bit'
const TRANSFERS: readonly Transfer[] = ['base64', 'quoted-printable', '8bit']
const NAME_STYLES = ['rfc2231', 'continued', 'encoded word'] as const

export const ascii = (text: string): Buffer => Buffer.from(text, 'latin1')
export const lines = (...all: readonly (string | Buffer)[]): Buffer =>
  Buffer.concat(all.flatMap((line) => [typeof line === 'string' ? Buffer.from(line) : line, ascii('\r\n')]))

const base64 = (bytes: Buffer): string => bytes.toString('base64').replace(/.{76}(?=.)/g, '$&\r\n')
const quoted = (bytes: Buffer): string =>
  [...bytes]
    .map((byte) => (byte === 0x3d || byte < 0x20 || byte > 0x7e ? `=${hex(byte)}` : String.fromCharCode(byte)))
    .join('')
const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, '0')
const percent = (bytes: Buffer): string => [...bytes].map((byte) => `%${hex(byte)}`).join('')
const wordQ = (charset: string, bytes: Buffer): string =>
  `=?${charset}?Q?${[...bytes].map((byte) => (/[A-Za-z0-9]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `=${hex(byte)}`)).join('')}?=`
const wordB = (charset: string, bytes: Buffer): string => `=?${charset}?B?${bytes.toString('base64')}?=`

export function encode(bytes: Buffer, transfer: Transfer): Buffer {
  if (transfer === '8bit') return bytes
  return ascii(transfer === 'base64' ? base64(bytes) : quoted(bytes))
}

/** What a safe name makes of these texts. */
const asName = (text: string): string => `${text.replace(/[/\\:*?"<>|]/g, '_')}.pdf`

function fileParameter(style: (typeof NAME_STYLES)[number], charset: string, bytes: Buffer): string {
  const name = Buffer.concat([bytes, ascii('.pdf')])
  if (style === 'rfc2231') return `filename*=${charset}''${percent(name)}`
  if (style === 'encoded word') return `filename="${wordB(charset, bytes)}.pdf"`
  // cut in the middle of characters, as senders do
  const pieces = percent(name).match(/(?:%..){1,7}/g) ?? []
  return pieces.map((piece, i) => `filename*${i}*=${i === 0 ? `${charset}''` : ''}${piece}`).join(';\r\n ')
}

/** Every charset in body, subject and file name, in every transfer encoding. */
function charsetMails(): CorpusMail[] {
  return CHARSETS.flatMap(([charset, text, hexBytes]) => {
    const bytes = Buffer.from(hexBytes, 'hex')
    return TRANSFERS.flatMap((transfer) =>
      NAME_STYLES.map((style, i): CorpusMail => ({
        name: `${charset}, ${transfer}, file name as ${style}`,
        raw: lines(
          'From: a@example.test',
          `Subject: ${i % 2 === 0 ? wordB(charset, bytes) : wordQ(charset, bytes)}`,
          'MIME-Version: 1.0',
          'Content-Type: multipart/mixed; boundary="b=_1"',
          '',
          '--b=_1',
          `Content-Type: text/plain; charset="${charset}"`,
          `Content-Transfer-Encoding: ${transfer}`,
          '',
          encode(bytes, transfer),
          '--b=_1',
          'Content-Type: application/pdf',
          `Content-Transfer-Encoding: ${transfer}`,
          `Content-Disposition: attachment; ${fileParameter(style, charset, bytes)}`,
          '',
          encode(bytes, transfer),
          '--b=_1--',
        ),
        expected: { text, subject: text, files: [asName(text)], bytes: [bytes] },
      })),
    )
  })
}

/** A single part, as text and as HTML. */
function singlePartMails(): CorpusMail[] {
  return CHARSETS.flatMap(([charset, text, hexBytes], i) => {
    const bytes = Buffer.from(hexBytes, 'hex')
    const transfer = TRANSFERS[i % 3] ?? '8bit'
    const head = (type: string): string[] => [
      `Content-Type: ${type}; charset=${charset}`,
      `Content-Transfer-Encoding: ${transfer}`,
      '',
    ]
    return [
      {
        name: `${charset}, a single text in ${transfer}`,
        raw: lines(...head('text/plain'), encode(Buffer.concat([bytes, ascii('\r\n')]), transfer)),
        expected: {
          text: transfer === '8bit' ? `${text}\n\n` : transfer === 'quoted-printable' ? `${text}\n\n` : `${text}\n`,
          html: null,
          files: [],
        },
      },
      {
        name: `${charset}, a single HTML in ${transfer}`,
        raw: lines(...head('text/html'), encode(Buffer.concat([ascii('<p>'), bytes, ascii('</p>')]), transfer)),
        expected: { text, files: [] },
      },
    ]
  })
}

export const mimeCorpus = (): readonly CorpusMail[] => [
  ...charsetMails(),
  ...singlePartMails(),
  ...structureShapes(),
  ...brokenShapes(),
]
