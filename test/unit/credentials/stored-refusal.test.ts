import { expect, test } from 'vitest'
import { storedRefusal } from '../../../src/credentials/refresh.ts'
import type { Grant } from '../../../src/db/grants.ts'

const grant = (refusal: Grant['refusal']): Grant => ({
  accountId: 7,
  credentialSealed: '',
  accessTokenSealed: null,
  accessExpiresAt: null,
  refreshedAt: null,
  version: 1,
  refusal,
  parkedUntil: new Date(),
})

test('a token endpoint that has refused is not asked again, and what it said is told again', () => {
  const failure = storedRefusal(
    grant({ flag: 'client_secret_expired', scope: 'app', persistence: 'human', evidence: 'AADSTS7000222: expired' }),
  )
  expect(failure.verdict).toEqual({
    flag: 'client_secret_expired',
    scope: 'app',
    persistence: 'human',
    blocks: ['receive', 'send'],
  })
  expect(failure).toMatchObject({ stage: 'token', step: 'waiting', evidence: 'AADSTS7000222: expired' })
})

test.each([
  ['is none', null],
  ['is from another version', { flag: 'unclassified', scope: 'galaxy', persistence: 'eternal', evidence: '' }],
])('a stored refusal that %s is the account’s and passes', (_what, refusal) => {
  expect(storedRefusal(grant(refusal)).verdict).toMatchObject({
    flag: 'unclassified',
    scope: 'account',
    persistence: 'transient',
  })
})
