// Shapes of messages that are wrong, and come all the same: they are to be read as well as anybody can, and never to do harm.

import type { CorpusMail } from './mime-corpus.ts'

const shape = (name: string, raw: Buffer | string, expected: CorpusMail['expected'] = {}): CorpusMail => ({
  name,
  raw: typeof raw === 'string' ? Buffer.from(raw, 'latin1') : raw,
  expected,
})
const utf8 = (text: string): Buffer => Buffer.from(text)

const undeclared: CorpusMail[] = [
  shape('undeclared 8-bit that is UTF-8', utf8('Subject: Grüße\r\n\r\nSchöne Grüße'), {
    text: 'Schöne Grüße',
    subject: 'Grüße',
  }),
  shape('undeclared 8-bit that is not', 'Subject: Gr\u00fc\u00dfe\r\n\r\nSch\u00f6ne Gr\u00fc\u00dfe \u0080', {
    text: 'Schöne Grüße €',
    subject: 'Grüße',
  }),
  shape('declared as ASCII, with umlauts', 'Content-Type: text/plain; charset=us-ascii\r\n\r\nGr\u00fc\u00dfe', {
    text: 'Grüße',
  }),
  shape('a charset that does not exist', 'Content-Type: text/plain; charset=x-does-not-exist\r\n\r\nGr\u00fc\u00dfe', {
    text: 'Grüße',
  }),
  shape('a charset with quotes and blanks', 'Content-Type: text/plain; charset=" ISO-8859-15 "\r\n\r\n\u00a4', {
    text: '€',
  }),
  shape('an empty charset', utf8('Content-Type: text/plain; charset=\r\n\r\nGrüße'), { text: 'Grüße' }),
  shape('UTF-8 that is overlong', 'Content-Type: text/plain; charset=utf-8\r\n\r\na\u00c0\u00afb', {
    text: 'a\ufffd\ufffdb',
  }),
  shape('a lone surrogate in UTF-8', 'Content-Type: text/plain; charset=utf-8\r\n\r\na\u00ed\u00a0\u0080b', {
    text: 'a\ufffd\ufffd\ufffdb',
  }),
  shape('a byte order mark', utf8('Content-Type: text/plain; charset=utf-8\r\n\r\n\ufeffText'), { text: 'Text' }),
  shape('NUL in the text', 'Content-Type: text/plain\r\n\r\na\0b', { text: 'ab' }),
  shape(
    'UTF-16 with a mark',
    Buffer.concat([
      utf8('Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n'),
      utf8(Buffer.from('\ufeffGrüße', 'utf16le').toString('base64')),
    ]),
    { text: 'Grüße' },
  ),
  shape(
    'a file name in raw Latin-1',
    'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="\u00fcber.pdf"\r\n\r\nx',
    { files: ['über.pdf'] },
  ),
  shape(
    'a file name in raw UTF-8',
    utf8('Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="über.pdf"\r\n\r\nx'),
    { files: ['über.pdf'] },
  ),
]

const words: CorpusMail[] = [
  ['=?utf-8?Q?Gr=C3=BC=C3=9Fe', '=?utf-8?Q?Gr=C3=BC=C3=9Fe'],
  ['=?utf-8?Q?Gr=C3?= =?utf-8?Q?=BC=C3=9Fe?=', 'Grüße'],
  ['=?utf-8?B?R3LDvMOfZQ?=', 'Grüße'],
  ['=?utf-8?B?R3LD?= =?utf-8?B?vMOfZQ==?=', 'Grüße'],
  ['=?utf-8?Q?mit leerzeichen?=', 'mit leerzeichen'],
  ['=?utf-8?Q?a?= =?iso-8859-1?Q?=FC?= b', 'aü b'],
  ['=?utf-8?Q?a?= dazwischen =?utf-8?Q?b?=', 'a dazwischen b'],
  ['=?iso-8859-1*de?Q?=FC?=', 'ü'],
  ['=?x-unknown?Q?=C3=BC?=', 'ü'],
  ['=?utf-8?X?abc?=', '=?utf-8?X?abc?='],
  ['=?utf-8?Q?=ZZ=?=', '=ZZ='],
  ['=?utf-8?Q??= x', 'x'],
  ['=?utf-8?q?lower_case?=', 'lower case'],
  ['text=?utf-8?Q?=C3=BC?=text', 'textütext'],
].map(([subject = '', text = '']) =>
  shape(`encoded word: ${subject}`, `Subject: ${subject}\r\n\r\nx`, { subject: text }),
)

const envelopes: CorpusMail[] = [
  shape('nothing at all', '', { text: '', files: [] }),
  shape('a header and no more', 'Subject: nur\r\n', { subject: 'nur' }),
  shape('an empty line and a text', '\r\nText', { text: 'Text' }),
  shape('leading empty lines', '\r\n\r\n\r\nSubject: x\r\n\r\nText'),
  shape('no From', 'Subject: x\r\n\r\nText', { text: 'Text' }),
  shape('two From', 'From: a@x\r\nFrom: b@x\r\n\r\nText', { text: 'Text' }),
  shape('an mbox line', 'From a@x Mon Nov 23 10:00:00 2026\r\nSubject: x\r\n\r\nText', { text: 'Text' }),
  shape('a field without a colon', 'Subject: x\r\nkein Feld\r\n\r\nText', { text: 'Text' }),
  shape('LF alone', 'Subject: x\nContent-Type: text/plain\n\nein\nzwei\n', { text: 'ein\nzwei\n' }),
  shape('CR alone', 'Subject: x\rContent-Type: text/plain\r\rein\rzwei\r', { text: 'ein\nzwei\n' }),
  shape('CR alone within lines', 'Subject: x\r\n\r\nein\rzwei\r\n', { text: 'ein\nzwei\n' }),
  shape('mixed line ends', 'Subject: x\r\nContent-Type: text/plain\n\r\nein\nzwei\r\n', { text: 'ein\nzwei\n' }),
  shape('only NUL', '\0\0\0\0'),
  shape('only CR', '\r\r\r\r'),
  shape('only blanks', '   \t  \r\n  '),
  shape('date in 1970', 'Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n\r\nText', { text: 'Text' }),
  shape('date in 2099', 'Date: Thu, 01 Jan 2099 00:00:00 +0000\r\n\r\nText', { text: 'Text' }),
  shape('date that is none', 'Date: gestern\r\n\r\nText', { text: 'Text' }),
]

const multiparts: CorpusMail[] = [
  shape('no closing boundary', 'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nText\r\n', {
    text: 'Text\n',
  }),
  shape(
    'cut off in the middle of a file',
    'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD',
    { files: ['a.pdf'], bytes: [Buffer.from('ABC')] },
  ),
  shape('cut off in a header', 'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Typ'),
  shape('no part at all', 'Content-Type: multipart/mixed; boundary=b\r\n\r\n', { files: [] }),
  shape('a multipart without boundary', 'Content-Type: multipart/mixed\r\n\r\nText'),
  shape(
    'a boundary with special characters',
    'Content-Type: multipart/mixed; boundary="a.b(c)?=+"\r\n\r\n--a.b(c)?=+\r\n\r\nText\r\n--a.b(c)?=+--\r\n',
    { text: 'Text' },
  ),
  shape(
    'the same boundary inside',
    'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nText\r\n--b--\r\n--b--\r\n',
  ),
  shape(
    'a boundary that is the beginning of another',
    'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n\r\nText\r\n--bb--\r\n--b--\r\n',
    { text: 'Text' },
  ),
  shape(
    'blanks behind the boundary',
    'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b  \t\r\n\r\nText\r\n--b--  \r\n',
    { text: 'Text' },
  ),
  shape(
    'base64 with junk in it',
    'Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nQU*JD\r\n!!\r\nRA==\r\n',
    { files: ['a.pdf'], bytes: [Buffer.from('ABCD')] },
  ),
  shape('quoted-printable with broken escapes', 'Content-Transfer-Encoding: quoted-printable\r\n\r\na=ZZb=\r\nc=3', {}),
  shape('an unknown transfer encoding', 'Content-Transfer-Encoding: x-uuencode\r\n\r\nText', { text: 'Text' }),
  shape('content type given twice', 'Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n<p>Text</p>', {
    text: '<p>Text</p>',
    html: null,
  }),
  shape('a content type that is none', 'Content-Type: text\r\n\r\nText', { text: 'Text' }),
  shape('a content type of rubbish', 'Content-Type: ;;;=;"\r\n\r\nText', {}),
  shape(
    'a disposition of rubbish',
    'Content-Type: application/pdf\r\nContent-Disposition: \u0001"; filename\r\n\r\nx',
    { files: ['attachment-1.pdf'] },
  ),
  shape(
    'an unknown disposition is an attachment',
    'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nText\r\n--b\r\nContent-Type: text/plain\r\nContent-Disposition: x-foo; filename=a.txt\r\n\r\nDatei\r\n--b--\r\n',
    { text: 'Text', files: ['a.txt'] },
  ),
  shape('uuencode in the text stays text', 'Subject: x\r\n\r\nbegin 644 a.txt\r\n#0V%T\r\n`\r\nend\r\n', { files: [] }),
]

export const brokenShapes = (): readonly CorpusMail[] => [...undeclared, ...words, ...envelopes, ...multiparts]
