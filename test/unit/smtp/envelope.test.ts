import { expect, test } from 'vitest'
import { AddressError, checkAddress, mailCommand, needsSmtpUtf8, rcptCommand } from '../../../src/smtp/envelope.ts'

test.each([
  'anna@example.test',
  'Anna.Berg+invoice@Example.test',
  "o'neil!#$%&*+/=?^_`{|}~-@example.test",
  'postmaster@localhost',
  'a@b',
  '"double..dot"@example.test',
  '".dots."@example.test',
  'anna@[192.0.2.7]',
  'anna@[IPv6:2001:db8::7]',
  'anna@xn--mnchen-3ya.test',
  'anna@3com.test',
  `${'a'.repeat(64)}@example.test`,
  `anna@${'a'.repeat(63)}.test`,
])('%s goes on the wire as it stands', (address) => {
  expect(checkAddress(address)).toBe(address)
  expect(rcptCommand(checkAddress(address))).toBe(`RCPT TO:<${address}>`)
})

test('an internationalised domain is sent as A-labels, in either normal form', () => {
  expect(checkAddress('anna@münchen.test')).toBe('anna@xn--mnchen-3ya.test')
  expect(checkAddress('anna@mu\u0308nchen.test')).toBe('anna@xn--mnchen-3ya.test')
})

test('a local part with other letters is kept, and can only be sent with SMTPUTF8', () => {
  expect(checkAddress('jürgen@münchen.test')).toBe('jürgen@xn--mnchen-3ya.test')
  expect(needsSmtpUtf8(checkAddress('jürgen@münchen.test'))).toBe(true)
  expect(needsSmtpUtf8(checkAddress('anna@münchen.test'))).toBe(false)
})

test.each([
  ['command injection', 'anna@example.test>\r\nRCPT TO:<eve@evil.test'],
  ['bare CR', 'anna@example.test\rRSET'],
  ['bare LF', 'anna@example.test\nRSET'],
  ['trailing LF', 'anna@example.test\n'],
  ['leading LF', '\nanna@example.test'],
  ['NUL', 'anna\0@example.test'],
  ['tab', 'anna\t@example.test'],
  ['DEL', 'anna\x7f@example.test'],
  ['line separator', 'anna\u2028@example.test'],
  ['zero width space', 'anna\u200b@example.test'],
  ['right-to-left override', 'anna\u202e@example.test'],
  ['no-break space', 'anna\u00a0b@example.test'],
  ['lone surrogate', 'anna\ud800@example.test'],
  ['space inside', 'anna berg@example.test'],
  ['space before', ' anna@example.test'],
  ['space after', 'anna@example.test '],
  ['parameter after the path', 'anna@example.test> NOTIFY=NEVER'],
  ['parameter in the domain', 'anna@example.test SIZE=1'],
  ['display name', 'Anna <anna@example.test>'],
  ['angle brackets', '<anna@example.test>'],
  ['opening bracket', '<anna@example.test'],
  ['comment', 'anna(comment)@example.test'],
  ['comment in the domain', 'anna@example.test(comment)'],
  ['two addresses with a comma', 'anna@example.test,eve@evil.test'],
  ['two addresses with a semicolon', 'anna@example.test;eve@evil.test'],
  ['group', 'team:anna@example.test;'],
  ['source route', '@relay.test:anna@example.test'],
  ['quoted local part with an address (CVE-2025-13033)', '"eve@evil.test x"@example.test'],
  ['quoted local part with an @', '"eve@evil.test"@example.test'],
  ['quoted local part with a space', '"anna berg"@example.test'],
  ['quoted local part with a quoted pair', '"anna\\"b"@example.test'],
  ['quoted local part with a bracket', '"anna>"@example.test'],
  ['quoted local part that is empty', '""@example.test'],
  ['quote in the middle', 'an"na"@example.test'],
  ['text after a quoted part', '"eve@evil.test" anna@example.test'],
  ['folding space before a dot', 'anna\r\n .b@example.test'],
  ['two @', 'anna@evil.test@example.test'],
  ['no @', 'anna'],
  ['nothing', ''],
  ['only an @', '@'],
  ['no local part', '@example.test'],
  ['no domain', 'anna@'],
  ['dot first', '.anna@example.test'],
  ['dot last', 'anna.@example.test'],
  ['two dots', 'anna..berg@example.test'],
  ['empty label', 'anna@example..test'],
  ['dot before the domain', 'anna@.example.test'],
  ['root dot', 'anna@example.test.'],
  ['hyphen first', 'anna@-example.test'],
  ['hyphen last', 'anna@example-.test'],
  ['underscore in the domain', 'anna@ex_ample.test'],
  ['percent in the domain', 'anna@example%2etest'],
  ['colon and port', 'anna@example.test:25'],
  ['bare IPv4', 'anna@192.0.2.7'],
  ['short IPv4', 'anna@127.1'],
  ['number', 'anna@2130706433'],
  ['literal that is no address', 'anna@[example.test]'],
  ['literal with a short IPv4', 'anna@[127.1]'],
  ['IPv6 literal without its tag', 'anna@[::1]'],
  ['IPv6 literal with a zone', 'anna@[IPv6:fe80::1%eth0]'],
  ['text after a literal', 'anna@[192.0.2.7].test'],
  ['unclosed literal', 'anna@[192.0.2.7'],
  ['literal with an injection', 'anna@[192.0.2.7]>\r\nRSET'],
  ['full-width domain', 'anna@ｅxample.test'],
  ['full-width IPv4', 'anna@１２７.0.0.1'],
  ['ligature in the domain', 'anna@ﬁ.test'],
  ['ideographic full stop', 'anna@example。test'],
  ['soft hyphen in the domain', 'anna@exam\u00adple.test'],
  ['local part of 65 octets', `${'a'.repeat(65)}@example.test`],
  ['local part of 33 two-octet letters', `${'ü'.repeat(33)}@example.test`],
  ['label of 64 octets', `anna@${'a'.repeat(64)}.test`],
  ['255 octets', `${'a'.repeat(64)}@${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(62)}`],
])('refused, naming the address: %s', (_name, address) => {
  let thrown: unknown
  try {
    checkAddress(address)
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeInstanceOf(AddressError)
  expect(thrown).toMatchObject({ address })
})

test('an address of exactly 254 octets is allowed', () => {
  const address = `${'a'.repeat(64)}@${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`
  expect(address).toHaveLength(254)
  expect(checkAddress(address)).toBe(address)
})

test('the message of the error shows control characters as text', () => {
  expect(() => checkAddress('a\r\nb@example.test')).toThrow(String.raw`"a\r\nb@example.test"`)
})

test('MAIL carries the parameters that apply, and the null sender is an empty path', () => {
  expect(mailCommand('', { eightBitMime: false, smtpUtf8: false })).toBe('MAIL FROM:<>')
  expect(mailCommand('a@b', { sizeBytes: 7, eightBitMime: true, smtpUtf8: true })).toBe(
    'MAIL FROM:<a@b> SIZE=7 BODY=8BITMIME SMTPUTF8',
  )
  expect(mailCommand('a@b', { sizeBytes: Number.NaN, eightBitMime: false, smtpUtf8: false })).toBe('MAIL FROM:<a@b>')
})
