import libmime from 'libmime'
import { simpleParser } from 'mailparser'
import { describe, expect, test } from 'vitest'
import {
  CannotCompose,
  compose,
  encodedWords,
  type ComposeAttachment,
  type ComposeParts,
} from '../../../src/message/compose.ts'

const minimal: ComposeParts = {
  from: { address: 'a@example.test' },
  to: [{ address: 'b@example.test' }],
  cc: [],
  headers: {},
  attachments: [],
  messageId: '<5f1d@example.test>',
  date: new Date('2026-11-23T10:00:00Z'),
}
const bytes = async (over: Partial<ComposeParts> = {}): Promise<Buffer> =>
  Buffer.concat(await Array.fromAsync(compose({ ...minimal, ...over })))
const file = (content: Buffer, over: Partial<ComposeAttachment> = {}): ComposeAttachment => ({
  contentType: 'application/octet-stream',
  sizeBytes: content.length,
  content: (async function* () {
    for (let at = 0; at < content.length; at += 1_000) yield content.subarray(at, at + 1_000)
  })(),
  ...over,
})
const headerNames = (message: Buffer): string[] =>
  (message.toString('latin1').split('\r\n\r\n')[0] ?? '')
    .split('\r\n')
    .filter((line) => !/^[ \t]/.test(line))
    .map((line) => line.split(':')[0] ?? '')

describe('composing', () => {
  test('makes the same bytes every time', async () => {
    const make = () =>
      bytes({
        text: 'Grüße',
        html: '<p>Grüße <img src="cid:logo@x"></p>',
        subject: 'Ü',
        attachments: [
          file(Buffer.from('x'.repeat(5_000)), { filename: 'a.pdf' }),
          file(Buffer.from('png'), { contentType: 'image/png', contentId: 'logo@x' }),
        ],
      })
    expect((await make()).equals(await make())).toBe(true)
  })

  test('gives exactly the header fields that were asked for', async () => {
    const message = await bytes({
      text: 'x',
      subject: 'Hallo',
      cc: [{ address: 'c@example.test', name: 'C' }],
      replyTo: { address: 'r@example.test' },
      headers: { 'X-Order': '4711', 'In-Reply-To': '<1@x>', References: '<0@x> <1@x>' },
    })
    expect(headerNames(message).join(' ')).toBe(
      'X-Order In-Reply-To References Subject From To Cc Reply-To Message-ID Date Content-Transfer-Encoding MIME-Version Content-Type',
    )
    expect(message.toString()).toContain('Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n')
    expect(message.toString()).toContain('Message-ID: <5f1d@example.test>\r\n')
  })

  test.each([
    'Grüße aus Köln',
    'Re: =?utf-8?q?x=0D=0ABcc:_y=40z?=',
    '=?utf-8?b?eA==?=',
    'a "quoted" \\ text, with; marks: <x>',
    '漢字'.repeat(60),
    '👩‍👩‍👧 '.repeat(40).trim(),
    'word '.repeat(150).trim(),
    'x'.repeat(900),
    ' blanks  around   and between ',
  ])('a subject and a name are read as they were written: %s', async (text) => {
    // a name that looks like an encoded word is not accepted
    const name = text.includes('=?') ? 'K' : text
    const to = [{ address: 'b@example.test', name }]
    const message = await bytes({ text: 'x', subject: text, headers: { 'X-Text': text }, to })
    const parsed = await simpleParser(message)
    expect(parsed.subject).toBe(text)
    const [, field = ''] = /^X-Text:((?:.*\r\n[ \t])*.*)\r$/m.exec(message.toString()) ?? []
    expect(libmime.decodeWords(field.replaceAll('\r\n', '').trim())).toBe(text.trim().replaceAll(/ +/g, ' '))
    expect(parsed.to).toMatchObject({ value: [{ address: 'b@example.test', name: name.trim() }] })
    expect(
      message
        .toString('latin1')
        .split('\r\n')
        .filter((line) => line.length > 998),
    ).toEqual([])
    expect(/[^\x20-\x7e\r\n\t]/.test(message.toString('latin1'))).toBe(false)
  })

  test('an internationalised domain is written as its A-label', async () => {
    const message = await bytes({ text: 'x', to: [{ address: 'info@müller.example', name: 'M' }] })
    expect(message.toString()).toContain('To: M <info@xn--mller-kva.example>\r\n')
  })

  test('line ends are CRLF, whatever they were', async () => {
    const message = await bytes({
      text: 'a\nb\rc\r\nd\n.\n\u2028e\u0001',
      html: 'ä\nb\rc\r\n',
      attachments: [file(Buffer.from('From: x\r\n\r\nhi'), { contentType: 'message/rfc822' })],
    })
    expect(message.toString('latin1').replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
    const parsed = await simpleParser(message, { keepCidLinks: true })
    expect(parsed.text).toContain('a\nb\nc\nd\n.\n\u2028e\u0001')
  })

  test('attachments come back byte by byte, with their names', async () => {
    const contents = [
      Buffer.alloc(0),
      Buffer.from('x'),
      Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7) % 256)),
    ]
    const names = ['Rechnung "März" 2026.pdf', '漢字.bin', 'a/b\\c; d=e.txt']
    const message = await bytes({
      text: 'x',
      attachments: contents.map((content, i) =>
        file(content, { filename: names[i] ?? '', contentType: 'application/pdf; x="y z"' }),
      ),
    })
    const parsed = await simpleParser(message)
    expect(
      parsed.attachments.map(({ content }) =>
        Buffer.compare(
          content,
          contents[parsed.attachments.findIndex((a) => a.content === content)] ?? Buffer.alloc(1),
        ),
      ),
    ).toEqual([0, 0, 0])
    expect(parsed.attachments.map(({ filename }) => filename)).toEqual(names)
  })

  test('an attachment without a name gets none', async () => {
    const message = await bytes({ text: 'x', attachments: [file(Buffer.from('x'), { contentType: 'text/html' })] })
    expect(message.toString()).not.toMatch(/name=/)
  })

  test('an attachment that breaks off breaks off the message, with its own error', async () => {
    const gone = new Error('the database has gone')
    const content = (async function* () {
      yield Buffer.from('x')
      throw gone
    })()
    await expect(bytes({ text: 'x', attachments: [file(Buffer.alloc(10), { content })] })).rejects.toBe(gone)
    await expect(bytes({ text: 'x', attachments: [file(Buffer.alloc(10), { sizeBytes: 11 })] })).rejects.toThrow(
      /an attachment has 10 bytes instead of 11/,
    )
  })

  test('what the composer itself refuses is named so', async () => {
    // an unpaired surrogate is no text, and no database holds one
    const broken = {
      name: 'x',
      get address(): string {
        throw new Error('no')
      },
    }
    await expect(bytes({ text: 'x', to: [broken] })).rejects.toThrow(CannotCompose)
  })
})

test.each(['', 'ä', 'a'.repeat(200), '漢'.repeat(100), '😀'.repeat(50)])(
  'encoded words are whole and short: %s',
  (text) => {
    const words = encodedWords(text).split(' ')
    expect(words.filter((word) => word.length > 75)).toEqual([])
    expect(words.map((word) => Buffer.from(word.slice('=?UTF-8?B?'.length, -2), 'base64').toString()).join('')).toBe(
      text,
    )
  },
)
