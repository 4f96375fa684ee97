import { expect, test } from 'vitest'
import { refuse } from '../../../src/failures/classify.ts'
import { isRefusedLogin } from '../../../src/failures/refused-login.ts'

const at = (reply: string, step = 'auth') => refuse({ provider: 'generic', stage: 'pop3', step, reply })

test.each([
  ['-ERR [AUTH] Authentication failed.', true],
  ['-ERR Authentication failure: unknown user name or bad password.', true],
  ['-ERR something nobody has heard of', true],
  ['-ERR [SYS/PERM] Your account is not enabled for POP access.', true],
  ['-ERR [IN-USE] Mailbox is locked by another POP3 session.', false],
  ['-ERR [LOGIN-DELAY] minimum time between logins is 5 minutes', false],
  ['-ERR [SYS/TEMP] Temporary authentication failure. [host:time]', false],
  ['-ERR [AUTH] Account exceeded pop command or bandwidth limits (Failure)', false],
])('%s counts as a refused login: %s', (reply, counts) => {
  expect(isRefusedLogin(at(reply))).toBe(counts)
})

test('nothing that is said after the login counts', () => {
  expect(isRefusedLogin(at('-ERR [SYS/PERM] no', 'stat'))).toBe(false)
})
