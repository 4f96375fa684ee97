// Shapes of messages that are right: alternatives, related parts, attached messages, signatures, calendars, file names.

import type { CorpusMail } from './mime-corpus.ts'

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
const utf8 = (text: string): Buffer => Buffer.from(text)

type Part = string | Buffer

/** A multipart; each part is a header block, an empty line and a body. */
export function multipart(type: string, parts: readonly Part[], boundary = 'b'): Buffer {
  const pieces = parts.flatMap((part) => [
    bytes(`--${boundary}\r\n`),
    typeof part === 'string' ? utf8(part) : part,
    bytes('\r\n'),
  ])
  return Buffer.concat([
    bytes(`Content-Type: multipart/${type}; boundary=${boundary}\r\n\r\n`),
    ...pieces,
    bytes(`--${boundary}--\r\n`),
  ])
}

const TEXT = 'Content-Type: text/plain; charset=utf-8\r\n\r\nGrüße'
const HTML = 'Content-Type: text/html; charset=utf-8\r\n\r\n<p>Grüße <b>fett</b></p>'
const file = (disposition: string, type = 'application/pdf', body = 'inhalt'): string =>
  `Content-Type: ${type}\r\nContent-Disposition: ${disposition}\r\n\r\n${body}`

const shape = (name: string, raw: Buffer | string, expected: CorpusMail['expected']): CorpusMail => ({
  name,
  raw: typeof raw === 'string' ? utf8(raw) : raw,
  expected,
})

const INNER = 'Subject: =?utf-8?q?W=C3=B6rtlich=2E?=\r\nFrom: x@y\r\n\r\nZeile 1\r\n.\r\nZeile 2\r\n'

const bodies: CorpusMail[] = [
  shape('an alternative of text and HTML', multipart('alternative', [TEXT, HTML]), {
    text: 'Grüße',
    html: '<p>Grüße <b>fett</b></p>',
    files: [],
  }),
  shape('an alternative whose text is empty', multipart('alternative', ['Content-Type: text/plain\r\n\r\n', HTML]), {
    text: 'Grüße fett',
    html: '<p>Grüße <b>fett</b></p>',
  }),
  shape('HTML alone in a mixed', multipart('mixed', [HTML, file('attachment; filename=a.pdf')]), {
    text: 'Grüße fett',
    files: ['a.pdf'],
  }),
  shape('text, a file, and more text', multipart('mixed', [TEXT, file('attachment; filename=a.pdf'), TEXT]), {
    text: 'Grüße\nGrüße',
    files: ['a.pdf'],
  }),
  shape('related parts', multipart('related', [HTML, 'Content-Type: image/png\r\nContent-ID: <bild@x>\r\n\r\npng']), {
    text: 'Grüße fett',
    files: ['attachment-1.png'],
    bytes: [bytes('png')],
  }),
  shape(
    'a calendar beside text',
    multipart('alternative', [
      TEXT,
      'Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\nBEGIN:VCALENDAR',
    ]),
    { text: 'Grüße', files: ['attachment-1.ics'] },
  ),
  shape(
    'format=flowed',
    'Content-Type: text/plain; charset=utf-8; format=flowed\r\n\r\neine \r\nlange Zeile\r\n>zitiert \r\n>weiter\r\n-- \r\nGruß\r\n',
    { text: 'eine lange Zeile\n>zitiert weiter\n-- \nGruß' },
  ),
  shape(
    'format=flowed; delsp=yes',
    'Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\r\n\r\n日本 \r\n語\r\n',
    { text: '日本語' },
  ),
  shape(
    'nested alternatives',
    multipart('mixed', [
      multipart(
        'alternative',
        [TEXT, multipart('related', [HTML, 'Content-Type: image/png; name=logo.png\r\nContent-ID: <l>\r\n\r\nx'], 'r')],
        'a',
      ),
      file('attachment; filename=b.pdf'),
    ]),
    { text: 'Grüße', html: '<p>Grüße <b>fett</b></p>', files: ['logo.png', 'b.pdf'] },
  ),
  shape(
    'S/MIME, signed',
    multipart('signed; protocol="application/pkcs7-signature"', [
      TEXT,
      'Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\nMIAGCSq=',
    ]),
    { text: 'Grüße', files: ['smime.p7s'] },
  ),
  shape(
    'S/MIME, opaque',
    'Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=smime.p7m\r\n\r\nMIAGCSqGSIb3\r\n',
    { text: null, html: null, files: ['smime.p7m'], bytes: [Buffer.from('MIAGCSqGSIb3', 'base64')] },
  ),
  shape(
    'PGP, encrypted',
    multipart('encrypted; protocol="application/pgp-encrypted"', [
      'Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1',
      'Content-Type: application/octet-stream; name=encrypted.asc\r\n\r\n-----BEGIN PGP MESSAGE-----',
    ]),
    { text: null, files: ['attachment-1.asc', 'encrypted.asc'] },
  ),
  shape(
    'TNEF',
    multipart('mixed', [
      TEXT,
      'Content-Type: application/ms-tnef; name="winmail.dat"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="winmail.dat"\r\n\r\neJ8+IgAA',
    ]),
    { text: 'Grüße', files: ['winmail.dat'], bytes: [Buffer.from('eJ8+IgAA', 'base64')] },
  ),
  shape('an attached message', multipart('mixed', [TEXT, `Content-Type: message/rfc822\r\n\r\n${INNER}`]), {
    text: 'Grüße',
    files: ['Wörtlich.eml'],
    bytes: [bytes(INNER)],
  }),
  shape(
    'a message attached inline',
    multipart('mixed', [TEXT, `Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n${INNER}`]),
    { text: 'Grüße', files: ['Wörtlich.eml'], bytes: [bytes(INNER)] },
  ),
  shape(
    'a digest',
    multipart('digest', [
      `Content-Type: message/rfc822\r\n\r\n${INNER}`,
      'Content-Type: message/rfc822\r\n\r\nFrom: x\r\n\r\ny',
    ]),
    { text: null, files: ['Wörtlich.eml', 'attachment-2.eml'] },
  ),
  shape(
    'an attached message with parts of its own',
    multipart('mixed', [
      TEXT,
      Buffer.concat([
        bytes('Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n'),
        multipart('mixed', [TEXT, file('attachment; filename=tief.pdf')], 'inner'),
      ]),
    ]),
    { text: 'Grüße', files: ['inner.eml'] },
  ),
  shape(
    'text that is named is a file',
    multipart('mixed', [TEXT, 'Content-Type: text/plain; name=liste.csv\r\n\r\n1;2']),
    { text: 'Grüße', files: ['liste.csv'], bytes: [bytes('1;2')] },
  ),
  shape(
    'HTML that is named is a file',
    multipart('mixed', [TEXT, file('attachment; filename=seite.html', 'text/html', '<p>x</p>')]),
    { text: 'Grüße', html: null, files: ['seite.html'] },
  ),
  shape('no content type', 'Subject: x\r\n\r\nnur Text\r\n', {
    text: 'nur Text\n',
    html: null,
    files: [],
    subject: 'x',
  }),
  shape(
    'a preamble and an epilogue',
    Buffer.concat([
      bytes('Content-Type: multipart/mixed; boundary=b\r\n\r\nvorne\r\n--b\r\n'),
      utf8(TEXT),
      bytes('\r\n--b--\r\nhinten\r\n'),
    ]),
    { text: 'Grüße', files: [] },
  ),
  shape(
    'comments in the content type',
    'Content-Type: text/plain (ein Kommentar); charset=iso-8859-1 (noch einer)\r\n\r\nabc',
    { text: 'abc' },
  ),
  shape(
    'HTML with a script and a style',
    'Content-Type: text/html\r\n\r\n<style>p{}</style><p>eins</p><script>zwei()</script><p>drei</p>',
    { text: 'eins\n\ndrei' },
  ),
  shape(
    'HTML with a table',
    'Content-Type: text/html\r\n\r\n<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>',
    { text: 'a\tb\nc' },
  ),
  shape(
    'HTML with entities',
    'Content-Type: text/html\r\n\r\n&Auml;rger &amp; 5&nbsp;&euro; &#x1F600; &#8211; &unbekannt;',
    { text: 'Ärger & 5 € 😀 – &unbekannt;' },
  ),
]

const kinds: CorpusMail[] = [
  ['Auto-Submitted: auto-replied', 'auto_reply'],
  ['Auto-Submitted: auto-replied; owner-email="x@y"', 'auto_reply'],
  ['Auto-Submitted: no', 'mail'],
  ['Auto-Submitted: auto-generated', 'mail'],
  ['X-Autoreply: yes', 'auto_reply'],
  ['X-Autorespond: Abwesend', 'auto_reply'],
  ['Precedence: auto_reply', 'auto_reply'],
  ['Precedence: bulk', 'mail'],
  ['Subject: Automatic reply: Angebot', 'auto_reply'],
  ['Subject: Automatische Antwort: Angebot', 'auto_reply'],
  ['Subject: Abwesenheitsnotiz: Angebot', 'auto_reply'],
  ['Subject: =?utf-8?q?R=C3=A9ponse_automatique_=3A_Devis?=', 'auto_reply'],
  ['Subject: Out of Office: Offer', 'auto_reply'],
  ['Subject: Re: Automatic reply settings', 'mail'],
  ['Subject: Automatic replying machine', 'mail'],
  ['X-Auto-Response-Suppress: All', 'mail'],
  [
    'Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\nX-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent',
    'auto_reply',
  ],
].map(([header = '', kind = '']) =>
  shape(`kind of: ${header.replaceAll('\r\n', ', ')}`, `${header}\r\n\r\nx`, { kind }),
)

const receipt = shape(
  'a disposition report',
  multipart('report; report-type=disposition-notification', [
    TEXT,
    'Content-Type: message/disposition-notification\r\n\r\nDisposition: manual-action; displayed',
  ]),
  { kind: 'disposition_report', text: 'Grüße', files: ['attachment-1.txt'] },
)

const names: CorpusMail[] = [
  ['filename="einfach.pdf"', 'einfach.pdf'],
  ['filename=ohne-quotes.pdf', 'ohne-quotes.pdf'],
  ['filename="mit \\"quotes\\".pdf"', 'mit _quotes_.pdf'],
  ['filename="semi;kolon.pdf"', 'semi;kolon.pdf'],
  ['filename="(klammer).pdf"', '(klammer).pdf'],
  ['filename=Rechnung(1).pdf', 'Rechnung(1).pdf'],
  ['filename="../../etc/passwd"', 'passwd'],
  ['filename="..\\\\..\\\\windows\\\\system.ini"', 'system.ini'],
  ['filename="C:\\\\Temp\\\\x.txt"', 'x.txt'],
  ['filename="/abs/olut.txt"', 'olut.txt'],
  ['filename="Rechnung 1/2.pdf"', 'Rechnung 1_2.pdf'],
  ["filename*=utf-8''evil%0D%0Aname.txt", 'evilname.txt'],
  ["filename*=utf-8''rechts%E2%80%AEfdp.exe", 'rechtsfdp.exe'],
  ["filename*=utf-8''null%00byte.txt", 'nullbyte.txt'],
  ["filename*=utf-8''%2E%2E%2Fx", 'x'],
  ['filename=".."', 'attachment-1.pdf'],
  ['filename="   "', 'attachment-1.pdf'],
  ['filename=""', 'attachment-1.pdf'],
  ['filename="con.txt"', '_con.txt'],
  ['filename="LPT1"', '_LPT1'],
  ['filename="ende. . ."', 'ende'],
  ['filename=".htaccess"', '.htaccess'],
  [`filename="${'x'.repeat(4_096)}.pdf"`, 'x'.repeat(200)],
  [`filename="${'x'.repeat(300)}.pdf"`, `${'x'.repeat(196)}.pdf`],
  [`filename*=utf-8''${'%F0%9F%98%80'.repeat(250)}.pdf`, `${'😀'.repeat(196)}.pdf`],
  ['filename="=cmd|calc!A1.csv"', '=cmd_calc!A1.csv'],
  ['filename="=?utf-8?Q?=C3=BCber?= =?utf-8?Q?=C3=A4.pdf?="', 'überä.pdf'],
  ['filename="=?utf-8?B?w7w=?= .pdf"', 'ü .pdf'],
  ["filename=alt.pdf; filename*=utf-8''neu%C3%BC.pdf", 'neuü.pdf'],
  ['filename*0="ab"; filename*1="cd.pdf"', 'abcd.pdf'],
  ["filename*1*=%BC.pdf; filename*0*=utf-8''%C3", 'ü.pdf'],
  ["filename*=''roh%FC.pdf", 'rohü.pdf'],
  ["filename*=unbekannt-9''%C3%BC.pdf", 'ü.pdf'],
  ['filename="a:b*c?d.pdf"', 'a_b_c_d.pdf'],
].map(([parameter = '', name = '']) =>
  shape(`file name: ${parameter.slice(0, 60)}`, multipart('mixed', [TEXT, file(`attachment; ${parameter}`)]), {
    files: [name],
    text: 'Grüße',
  }),
)

export const structureShapes = (): readonly CorpusMail[] => [...bodies, ...kinds, receipt, ...names]
