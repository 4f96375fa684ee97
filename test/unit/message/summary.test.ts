import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { HEADER_LIMIT_BYTES, summarise } from '../../../src/message/summary.ts'

const of = (...lines: readonly (string | Buffer)[]) =>
  summarise(
    Buffer.concat(lines.flatMap((line) => [typeof line === 'string' ? Buffer.from(line) : line, Buffer.from('\r\n')])),
  )
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')

const NOTHING = {
  internetMessageId: null,
  dateAt: null,
  fromAddress: null,
  fromName: null,
  toAddresses: null,
  subject: null,
}

describe('the summary of a message', () => {
  test('holds what a list of messages shows', () => {
    const summary = of(
      'Received: from mx.example by mail.example; Mon, 2 Mar 2026 08:00:00 +0000',
      'From: "Muster, Erika" <erika@muster.example>',
      'To: info@firma.example, =?utf-8?Q?B=C3=BCro?= <buero@firma.example>',
      'Subject: =?utf-8?B?QW5nZWJvdCBmw7xyIE3DpHJ6?=',
      'Date: Mon, 2 Mar 2026 09:15:00 +0100 (CET)',
      'Message-ID: <abc.1@muster.example>',
      '',
      'Subject: a line of the body',
    )
    expect(summary).toEqual({
      internetMessageId: '<abc.1@muster.example>',
      dateAt: new Date('2026-03-02T08:15:00Z'),
      fromAddress: 'erika@muster.example',
      fromName: 'Muster, Erika',
      toAddresses: 'info@firma.example, Büro <buero@firma.example>',
      subject: 'Angebot für März',
    })
  })

  test.each([
    ['an empty message', Buffer.alloc(0)],
    ['a message that begins with its body', Buffer.from('\r\nSubject: not a header\r\nFrom: a@b.example\r\n\r\n')],
    ['the same with bare line feeds', Buffer.from('\nSubject: not a header\n\n')],
    ['text without any header', Buffer.from('Guten Tag,\r\nanbei die Rechnung.\r\n')],
    ['zero bytes', Buffer.alloc(100_000)],
    ['random bytes', Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 7919) % 251))],
    ['line breaks only', Buffer.from('\r\n'.repeat(40_000))],
    ['fields without a value', Buffer.from('Subject:\r\nFrom: \r\nTo:\r\nDate:\r\nMessage-ID:\r\n\r\n')],
  ])('is empty for %s', (_what, head) => {
    expect(summarise(head)).toEqual(NOTHING)
  })

  test('ends with the header, also where lines end in a bare line feed', () => {
    expect(summarise(Buffer.from('To: a@b.example\n\nSubject: forwarded\n')).subject).toBeNull()
    expect(summarise(Buffer.from('To: a@b.example\n\r\nSubject: forwarded\n')).subject).toBeNull()
    expect(summarise(Buffer.from('To: a@b.example\r\n\nSubject: forwarded\n')).subject).toBeNull()
  })

  test('takes the first of two subjects', () => {
    expect(of('Subject: first', 'Subject: second', '').subject).toBe('first')
  })

  test('does not care how a field name is written', () => {
    expect(of('SUBJECT: loud', 'message-id : <a@b>', '')).toMatchObject({ subject: 'loud', internetMessageId: '<a@b>' })
  })

  test('does not take a field for another that ends the same', () => {
    expect(of('X-Subject: no', 'Resent-From: a@b.example', 'Subject-Prefix: no', '')).toEqual(NOTHING)
  })
})

describe('a folded field', () => {
  test.each([
    ['by a blank', ['Subject: one', ' two', '  three'], 'one two three'],
    ['by a tab', ['Subject: one', '\ttwo'], 'one two'],
    ['right after its name', ['Subject:', ' one'], 'one'],
    ['with a line of blanks in it', ['Subject: one', '  ', ' two'], 'one two'],
    ['between encoded words', ['Subject: =?utf-8?Q?Gr=C3=BC?=', ' =?utf-8?Q?=C3=9Fe?='], 'Grüße'],
    ['inside of a character of an encoded word', ['Subject: =?utf-8?B?R3LD?=', ' =?utf-8?B?vMOfZQ==?='], 'Grüße'],
  ])('%s is one line', (_how, lines, subject) => {
    expect(of(...lines, 'To: a@b.example', '').subject).toBe(subject)
  })

  test('with bare line feeds is one line', () => {
    expect(summarise(Buffer.from('Subject: one\n two\nTo: a@b.example\n\n')).subject).toBe('one two')
  })
})

describe('encoded words', () => {
  test.each([
    ['=?utf-8?Q?=E2=82=AC_5?=', '€ 5'],
    ['=?UTF-8?b?4oKsIDU=?=', '€ 5'],
    ['=?iso-8859-1?Q?M=FCnchen?=', 'München'],
    ['=?windows-1252?Q?=80_5?=', '€ 5'],
    ['=?utf-8*de?Q?M=C3=BCnchen?=', 'München'],
    ['Re: =?utf-8?Q?M=C3=BCnchen?= heute', 'Re: München heute'],
  ])('%s read %s', (value, subject) => {
    expect(of(`Subject: ${value}`, '').subject).toBe(subject)
  })

  test.each(['=?utf-8?Q?', '=?utf-8?X?abc?=', '=??Q?abc?=', '=?utf-8?B?====?=', '=?no-such-charset?Q?=FF?=', '=?='])(
    'that are broken (%s) spoil nothing',
    (value) => {
      expect(of(`Subject: ${value}`, 'From: a@b.example', '').fromAddress).toBe('a@b.example')
    },
  )

  test('with a line break or NUL inside do not bring it into the list', () => {
    expect(of('Subject: =?utf-8?Q?one=0D=0ATo:_two=00three?=', '').subject).toBe('one To: two three')
  })
})

describe('undeclared 8-bit text', () => {
  test('is UTF-8 where it is valid UTF-8', () => {
    expect(of('Subject: Grüße aus Köln', 'From: Jürgen <j@b.example>', '')).toMatchObject({
      subject: 'Grüße aus Köln',
      fromName: 'Jürgen',
    })
  })

  test('is windows-1252 otherwise', () => {
    expect(of(latin1('Subject: Grüße, 5 \x80'), '').subject).toBe('Grüße, 5 €')
  })

  test('of one field does not spoil another one', () => {
    expect(of(latin1('X-Sender: Jürgen'), 'Subject: Grüße', latin1('From: Jürgen <j@b.example>'), '')).toMatchObject({
      subject: 'Grüße',
      fromName: 'Jürgen',
    })
  })

  test('that the limit cuts in the middle of a character does not spoil what stands before', () => {
    const start = 'Subject: Grüße\r\nX-Long: '
    const filled = `${start}${'x'.repeat(HEADER_LIMIT_BYTES - Buffer.byteLength(start) - 1)}ü and more`
    expect(summarise(Buffer.from(filled)).subject).toBe('Grüße')
  })
})

describe('addresses', () => {
  test.each([
    ['a@b.example', 'a@b.example', null],
    ['<a@b.example>', 'a@b.example', null],
    ['Erika Muster <a@b.example>', 'a@b.example', 'Erika Muster'],
    ['"a <b@c.example> d" <a@b.example>', 'a@b.example', 'a <b@c.example> d'],
    [String.raw`"Erika \"E\" Muster" <a@b.example>`, 'a@b.example', 'Erika "E" Muster'],
    ['"Erika <a@b.example>', 'a@b.example', '"Erika'],
    ['"Muster, E." Erika <a@b.example>, second@b.example', 'a@b.example', '"Muster, E." Erika'],
    ['=?utf-8?Q?M=C3=BCller?= <a@b.example>', 'a@b.example', 'Müller'],
    ['a@b.example (Erika Muster)', 'a@b.example', null],
    ['first@b.example, second@b.example', 'first@b.example', null],
    ['undisclosed-recipients:;', null, null],
    ['<>', null, null],
  ])('of the sender: %s', (value, fromAddress, fromName) => {
    expect(of(`From: ${value}`, '')).toMatchObject({ fromAddress, fromName })
  })
})

describe('the date', () => {
  beforeAll(() => vi.stubEnv('TZ', 'America/New_York'))
  afterAll(() => vi.unstubAllEnvs())

  test.each([
    ['Thu, 01 Jan 1970 00:00:00 +0000', '1970-01-01T00:00:00Z'],
    ['Thu, 31 Dec 2099 23:59:59 +0100', '2099-12-31T22:59:59Z'],
    ['2 Mar 2026 09:15 GMT', '2026-03-02T09:15:00Z'],
    ['Mon, 2 Mar 26 09:15:00 EST', '2026-03-02T14:15:00Z'],
    ['Mon Mar  2 09:15:00 2026', '2026-03-02T09:15:00Z'],
    ['2026-03-02T09:15:00+01:00', '2026-03-02T08:15:00Z'],
    ['Mon, 2 Mar 2026 09:15:00', '2026-03-02T09:15:00Z'],
  ])('%s is %s, wherever this machine stands', (value, iso) => {
    expect(of(`Date: ${value}`, '').dateAt).toEqual(new Date(iso))
  })

  test.each([
    'Wed, 31 Dec 1969 23:59:59 +0000',
    'Mon, 2 Mar 12026 09:15:00 +0000',
    'Mon, 2 Mar 2026 25:15:00 +0000',
    'Mon, 2 Foo 2026 09:15:00 +0000',
    '2099',
    'Message 12',
    'garbage 5',
    'yesterday',
  ])('%s is none', (value) => {
    expect(of(`Date: ${value}`, '').dateAt).toBeNull()
  })
})

describe('the message ID', () => {
  test.each([
    ['<a@b>', '<a@b>'],
    ['  <a@b> (added by mx.example)', '<a@b>'],
    ['<a@b> <c@d>', '<a@b>'],
    ['a@b', null],
    ['<a b@c>', null],
    [`<${'x'.repeat(991)}>`, null],
  ])('%s', (value, id) => {
    expect(of(`Message-ID: ${value}`, '').internetMessageId).toBe(id)
  })
})

describe('what would harm the database or the list', () => {
  test('is gone: NUL and other control characters', () => {
    expect(of('Subject: a\0b\x1b[31mc\x7f', '').subject).toBe('a b [31mc')
    expect(of('From: a\0 <a\0@b.example>', '')).toMatchObject({ fromName: 'a', fromAddress: 'a @b.example' })
  })

  test('is short: no field is longer than 2,000 characters', () => {
    const long = of(`Subject: ${'ä'.repeat(20_000)}`, `To: ${'a@b.example, '.repeat(3_000)}`, '')
    expect(long.subject).toBe('ä'.repeat(2_000))
    expect(long.toAddresses).toHaveLength(2_000)
  })

  test('is not read: fields behind the first 64 KiB', () => {
    const filler = `X-Filler: ${'x'.repeat(990)}\r\n`.repeat(66)
    expect(summarise(Buffer.from(`Subject: early\r\n${filler}To: late@b.example\r\n\r\n`))).toEqual({
      ...NOTHING,
      subject: 'early',
    })
  })
})

/** Shapes on which a careless pattern would run for minutes: then the test's own time is over. */
test.each([
  ['one line without end', 'x'.repeat(65_536)],
  ['a subject of encoded words', `Subject: ${'=?utf-8?Q?a?= '.repeat(4_600)}`],
  ['a subject of blanks', `Subject: ${' '.repeat(65_000)}x`],
  ['half encoded words', `Subject: ${'=?'.repeat(32_000)}`],
  ['opening brackets', `From: ${'<'.repeat(65_000)}\r\nMessage-ID: ${'<'.repeat(100)}`],
  ['quotes', `From: ${'"'.repeat(65_000)}`],
  ['an odd number of quotes', `From: ${'"'.repeat(65_001)}`],
  ['quotes and backslashes', `From: ${'"\\'.repeat(32_000)}`],
  ['letters that never become an address', `From: ${'a'.repeat(65_000)}`],
  ['addresses that never close', `From: ${'a@'.repeat(32_000)}`],
  ['folds', `Subject: a${'\r\n '.repeat(21_000)}b`],
  ['carriage returns', '\r'.repeat(65_536)],
  ['tiny fields', 'To:a\r\n'.repeat(10_900)],
  ['half dates', `Date: ${'1 Jan '.repeat(10_900)}`],
])('64 KiB of %s are read quickly', (_what, head) => {
  for (let i = 0; i < 20; i++) expect(summarise(Buffer.from(head)).internetMessageId).toBeNull()
})
