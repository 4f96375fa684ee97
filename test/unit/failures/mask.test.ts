// No secret may reach the line an operator sees, however a server or a gateway echoes it.

import { describe, expect, it } from 'vitest'
import type { Stage } from '../../../src/base/failure.ts'
import { refuse } from '../../../src/failures/classify.ts'
import { evidenceOf, maskSecrets } from '../../../src/failures/mask.ts'

const CANARY = 'Kanarienvogel'
const jwt = `eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiI${CANARY}.c2ln-${CANARY}`
const long = `${CANARY}0123456789abcdefABCDEF0123456789abcdefABCDEF`

const echoes: readonly (readonly [string, string])[] = [
  ['a bearer header', `Authorization: Bearer ${CANARY}-1234567890`],
  ['a basic header', `authorization: Basic ${CANARY}==`],
  ['the XOAUTH2 text', `user=a@example.com\u0001auth=Bearer ${CANARY}.x\u0001\u0001`],
  ['the XOAUTH2 line', `AUTH XOAUTH2 ${CANARY}dXNlcj1h`],
  ['a JSON Web Token', `bad token ${jwt} was sent`],
  ['a Google access token', `ya29.a0${CANARY}_x-y`],
  ['a Google refresh token', `1//0g${CANARY}-x_y`],
  ['a Microsoft refresh token', `0.AXoA${CANARY}${'x'.repeat(20)}.AgABAwEA${CANARY}`],
  ['a personal Microsoft refresh token', `M.C529_BAY.0.U.-${CANARY}!*x${'y'.repeat(20)}$$`],
  ['a long run', `token=${long}`],
  ['a long run after a slash', `//${long}`],
  [
    'a form',
    `grant_type=password&password=${CANARY}&client_secret=${CANARY}%2B&refresh_token=${CANARY}&code=${CANARY}&assertion=${CANARY}`,
  ],
  ['a JSON text', `{"password": "${CANARY} \\"${CANARY}", "client_secret":"${CANARY}", "access_token" : "${CANARY}"}`],
  ['a POP3 password', `PASS ${CANARY} ${CANARY}`],
]

describe.each(echoes)('an echo of %s', (_name, echo) => {
  it('is masked in a text', () => expect(maskSecrets(echo)).not.toContain(CANARY))

  it.each<Stage>(['token', 'pop3', 'smtp'])('is in no evidence and no message at %s', (stage) => {
    const wrapped = JSON.stringify({ error: 'invalid_request', error_description: `You sent: ${echo}`, trace_id: echo })
    for (const reply of [echo, `535 5.7.8 ${echo}`, `-ERR ${echo}\r\n`, wrapped, `${'word '.repeat(150)}${echo}`]) {
      const failure = refuse({ provider: 'generic', stage, step: 'auth', reply })
      expect(failure.evidence).not.toContain(CANARY)
      expect(failure.message).not.toContain(CANARY)
    }
  })
})

it('a secret that is cut at the limit does not come through in halves', () => {
  for (let before = 16_300; before < 16_400; before++) {
    const text = `${'a '.repeat(before / 2)} ${long}`
    expect(maskSecrets(text)).not.toContain(CANARY)
  }
})

describe('the words of a refusal stay readable', () => {
  it.each([
    '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.',
    'AADSTS80012: OnPremisePasswordValidationAccountLogonInvalidHours - The users attempted to log on outside of the allowed hours.',
    'AADSTS50072: UserStrongAuthEnrollmentRequiredInterrupt - User needs to enroll for second factor authentication (interactive).',
    '-ERR [AUTH] Application-specific password required: http://support.google.com/accounts/bin/answer.py?answer=185833',
    '503 5.5.1 Error: authentication not enabled; password: required',
  ])('%s', (text) => expect(maskSecrets(text)).toBe(text))
})

describe('the evidence', () => {
  it('of a token error is one line with the ids an admin looks for', () => {
    const reply = JSON.stringify({
      error: 'invalid_grant',
      error_description:
        'AADSTS50126: Error validating credentials due to invalid username or password.\r\nTrace ID: 6a041438-d429-4455-8f64-39ac65489300\r\nCorrelation ID: 7d1d0014-f0a0-4e22-8a9f-74d9f8246500\r\nTimestamp: 2026-03-11 08:14:27Z',
      error_codes: [50126],
      timestamp: '2026-03-11 08:14:27Z',
      trace_id: '6a041438-d429-4455-8f64-39ac65489300',
      correlation_id: '7d1d0014-f0a0-4e22-8a9f-74d9f8246500',
    })
    expect(evidenceOf({ provider: 'microsoft', stage: 'token', reply })).toBe(
      'invalid_grant: AADSTS50126: Error validating credentials due to invalid username or password. ' +
        '(trace 6a041438-d429-4455-8f64-39ac65489300, correlation 7d1d0014-f0a0-4e22-8a9f-74d9f8246500, 2026-03-11 08:14:27Z)',
    )
  })

  it('of a bare error is its name', () => {
    expect(evidenceOf({ provider: 'google', stage: 'token', reply: '{"error": "invalid_grant"}' })).toBe(
      'invalid_grant',
    )
  })

  it('is one line without control characters, broken code points or more than 1,000 characters', () => {
    const reply = `550-5.7.1 one\r\n550 5.7.1 two\u001b[31m\u202e\ud800 ${'x y '.repeat(1_000)}`
    const evidence = evidenceOf({ provider: 'generic', stage: 'smtp', reply })
    expect(evidence).toMatch(/^550-5\.7\.1 one 550 5\.7\.1 two\?\[31m\?\ufffd x y .*\.\.\.$/)
    expect(evidence).toHaveLength(1_000)
  })
})
