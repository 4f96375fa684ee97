// Messages for the rows of the fault matrix: each one its own, with a header that recognises it.

import { randomBytes } from 'node:crypto'

export interface LetterOptions {
  readonly sizeBytes?: number
  /** Of the Date header; long ago where it is not given. */
  readonly date?: Date
}

const LONG_AGO = new Date('2024-03-01T08:00:00Z')

export function letter(subject: string, o: LetterOptions = {}): Buffer {
  const id = randomBytes(9).toString('hex')
  const head = [
    'From: Absender <absender@example.test>',
    'To: empfang@example.test',
    `Subject: ${subject}`,
    `Message-ID: <${id}@example.test>`,
    `Date: ${(o.date ?? LONG_AGO).toUTCString().replace('GMT', '+0000')}`,
    '',
    '',
  ].join('\r\n')
  const line = `.Zeile ${id}\r\n`
  return Buffer.from(head + line.repeat(Math.max(1, Math.round(((o.sizeBytes ?? 600) - head.length) / line.length))))
}

export const letters = (count: number, o: LetterOptions = {}): Buffer[] =>
  Array.from({ length: count }, (_, i) => letter(`Nr. ${i + 1}`, o))
