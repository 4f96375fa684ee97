import { expect, test } from 'vitest'
import { parseReply } from '../../../src/smtp/reply.ts'

test('a one-line reply gives its code, its enhanced code and its text', () => {
  expect(parseReply('550 5.1.1 unknown user\r\n')).toEqual({
    code: 550,
    enhancedCode: '5.1.1',
    text: 'unknown user',
    raw: '550 5.1.1 unknown user',
  })
})

test('a multi-line reply keeps every line, and says its enhanced code once', () => {
  const received =
    "552-5.3.4 Your message exceeded Google's limits.\r\n552-5.3.4 Go to\r\n552 5.3.4  https://support.test"
  expect(parseReply(received)).toEqual({
    code: 552,
    enhancedCode: '5.3.4',
    text: "Your message exceeded Google's limits. Go to https://support.test",
    raw: received,
  })
})

test('lines separated by a bare LF are read as well', () => {
  expect(parseReply('250-a\n250 b')?.raw).toBe('250-a\r\n250 b')
})

test.each(['250', '250 ', '250\r\n'])('a code without text is a complete reply: %j', (received) => {
  expect(parseReply(received)).toMatchObject({ code: 250, text: '' })
})

test('the enhanced code may disagree with the code, and is not found in the middle of the text', () => {
  expect(parseReply('550 4.7.1 later')?.enhancedCode).toBe('4.7.1')
  expect(parseReply('530 see 5.7.57 there')?.enhancedCode).toBeUndefined()
  expect(parseReply('250 2.0.0.1 version')?.enhancedCode).toBeUndefined()
})

test.each([
  '',
  '25',
  '25 ok',
  '2500 ok',
  '2500',
  '250ok',
  '150 early',
  '650 late',
  'ok',
  'ok 250',
  ' 250 ok',
  '250-only a continuation',
  '250-a\r\n550 b',
  '250-a\r\n250b',
  '250 a\r\n250 b',
  '250-a\r\n\r\n250 b',
  '２５０ ok',
])('what breaks the grammar is not a reply: %j', (received) => {
  expect(parseReply(received)).toBeUndefined()
})
