import { describe, expect, test } from 'vitest'
import { retryAfterMs } from '../../../src/oauth/acquire.ts'
import { readTokenReply, refreshLifetimeSeconds } from '../../../src/oauth/generic.ts'

const reply = (body: unknown, status = 200) => ({
  status,
  headers: {},
  body: typeof body === 'string' ? body : JSON.stringify(body),
})
const lifetime = (expires_in: unknown): number => readTokenReply(reply({ access_token: 'x', expires_in })).expires_in

describe('the lifetime of a token', () => {
  test.each([
    ['as the server says', 4211, 4211],
    ['also as a text', '3599', 3599],
    ['an hour where the server says nothing', undefined, 3600],
    ['an hour where it says null', null, 3600],
    ['an hour where it says an empty text', ' ', 3600],
    ['an hour where nobody can read it', 'soon', 3600],
    ['a minute for zero, so that nobody refreshes in a loop', 0, 60],
    ['a minute for a negative one', -30, 60],
    ['a minute for half of one', 30, 60],
    ['thirty days at most', 1e15, 2_592_000],
  ])('is %s', (_what, expiresIn, seconds) => {
    expect(lifetime(expiresIn)).toBe(seconds)
  })
})

describe('the lifetime of a refresh token', () => {
  test.each([
    ['as Google says', { refresh_token_expires_in: 604_799 }, 604_799],
    ['as Keycloak says', { refresh_expires_in: 1_800 }, 1_800],
    ['without an end where the server says 0', { refresh_expires_in: 0 }, undefined],
    ['not known where the server says nothing', {}, undefined],
    ['not known where nobody can read it', { refresh_token_expires_in: 'soon' }, undefined],
    ['ten years at most', { refresh_token_expires_in: 1e15 }, 315_360_000],
  ])('is %s', (_what, answer, seconds) => {
    expect(refreshLifetimeSeconds(answer)).toBe(seconds)
  })
})

describe('a token answer', () => {
  test('with empty fields beside the token is still good', () => {
    const answer = readTokenReply(reply({ access_token: 'x', refresh_token: '', scope: null, id_token: '' }))
    expect(answer).toEqual({ access_token: 'x', token_type: 'Bearer', expires_in: 3600 })
  })

  test.each([
    ['a refusal', reply({ error: 'invalid_grant' }, 400)],
    ['a token with a status that is no success', reply({ access_token: 'x' }, 500)],
    ['an error sent as a success', reply({ error: 'invalid_grant' })],
    ['an empty token', reply({ access_token: '' })],
    ['a number for a token', reply({ access_token: 7 })],
    ['a web page', reply('<html>sign in</html>')],
    ['nothing', reply('')],
    ['null', reply('null')],
  ])('is not found in %s', (_what, received) => {
    expect(() => readTokenReply(received)).toThrow(/token|JSON/)
  })
})

describe('the wait an endpoint asks for', () => {
  const now = new Date('2026-11-23T10:00:00Z')
  test.each([
    ['in seconds', '30', 30_000],
    ['as a date', 'Mon, 23 Nov 2026 10:02:00 GMT', 120_000],
    ['as a date that has passed, is none', 'Mon, 23 Nov 2026 09:00:00 GMT', 0],
    ['of a year, is a day', '31536000', 86_400_000],
    ['in words nobody can read, is unknown', 'later', undefined],
    ['as a negative number, is unknown', '-5', undefined],
    ['as a fraction, is unknown', '1.5', undefined],
  ])('%s', (_what, value, waitMs) => {
    expect(retryAfterMs({ headers: { 'retry-after': value } }, now)).toBe(waitMs)
  })

  test('is unknown where it asks for none', () => {
    expect(retryAfterMs({ headers: {} }, now)).toBeUndefined()
  })
})
