import { expect, test } from 'vitest'
import { UserError } from '../../../src/base/failure.ts'
import { decodeChallenge, xoauth2 } from '../../../src/net/sasl.ts'

test('an XOAUTH2 response is one line of base64, however long the token is', () => {
  const token = 'x'.repeat(5_000)
  const response = xoauth2('änna@example.com', token)
  expect(response).toMatch(/^[A-Za-z0-9+/]+=*$/)
  expect(Buffer.from(response, 'base64').toString('utf8')).toBe(`user=änna@example.com\x01auth=Bearer ${token}\x01\x01`)
})

test.each(['a\rb', 'a\nb', 'a\0b', 'a\x01auth=Bearer other'])('a user name or token like %j is refused', (text) => {
  expect(() => xoauth2(text, 'token')).toThrow(UserError)
  expect(() => xoauth2('anna', text)).toThrow(UserError)
})

test('a refusal does not repeat the token', () => {
  expect(() => xoauth2('anna', 'secret\nsecret')).toThrow(/^the access token contains a control character$/)
})

test('a challenge is decoded, and what is no base64 does not throw', () => {
  expect(decodeChallenge(` ${Buffer.from('{"status":"400"}').toString('base64')}\r\n`)).toBe('{"status":"400"}')
  expect(decodeChallenge('')).toBe('')
  expect(() => decodeChallenge('*** not base64 ***')).not.toThrow()
})
