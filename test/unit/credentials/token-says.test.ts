import { describe, expect, test } from 'vitest'
import { Failure, type Stage } from '../../../src/base/failure.ts'
import { explainedBy, findingsOf } from '../../../src/credentials/token-says.ts'
import type { Account } from '../../../src/db/accounts.ts'
import type { Login } from '../../../src/net/net.ts'

const CATCH_ALL = '-ERR Authentication failure: unknown user name or bad password.'

const refusal = (flag = 'pop3_auth_rejected', stage: Stage = 'pop3'): Failure =>
  new Failure(
    { flag, scope: 'account', persistence: 'transient', blocks: [stage === 'smtp' ? 'send' : 'receive'] },
    { stage, step: 'auth', evidence: CATCH_ALL },
  )
const token = (claims: object): string =>
  ['{"alg":"none"}', JSON.stringify(claims), ''].map((part) => Buffer.from(part).toString('base64url')).join('.')
const login = (claims: object, username = 'info@firma.example') =>
  ({ mechanism: 'xoauth2', username, accessToken: token(claims) }) as const

const MAIL = 'https://outlook.office365.com'

const CLIENT = {
  id: 1,
  provider: 'microsoft',
  tokenEndpoint: 'https://login.microsoftonline.com/organizations/oauth2/v2.0/token',
  clientId: 'app',
  proofKind: 'none',
  clientSecretSealed: null,
} as const
const ACCOUNT: Account = {
  id: 1,
  email: 'info@firma.example',
  label: '',
  isDefault: false,
  provider: 'microsoft',
  pop3: null,
  smtp: null,
  auth: { type: 'oauth2', flow: 'password', scope: '', username: null, client: CLIENT },
  enabledReceive: true,
  enabledSend: true,
  uncertainPolicy: 'retry_once',
  sending: { connections: null, messagesPerMinute: null, recipientsPerDay: null, recipientsPerMessage: null },
}
const explainedByToken = (failure: Failure, as: Login): Failure =>
  explainedBy(failure, findingsOf(ACCOUNT, as, failure.stage === 'smtp' ? 'send' : 'receive', new Date()))

describe('a refusal that says everything and nothing', () => {
  test.each([
    [
      'a token for Graph',
      { aud: 'https://graph.microsoft.com', scp: 'User.Read' },
      'token_wrong_audience',
      /graph\.microsoft\.com/,
    ],
    [
      'no permission for POP',
      { aud: MAIL, scp: 'SMTP.Send IMAP.AccessAsUser.All' },
      'permission_missing_pop',
      /not POP\.AccessAsUser\.All/,
    ],
    ['an app without rights', { aud: MAIL }, 'admin_consent_missing', /grants nothing, and not POP\.AccessAsApp/],
    [
      'an app with other rights',
      { aud: MAIL, roles: ['SMTP.SendAsApp'] },
      'admin_consent_missing',
      /grants SMTP\.SendAsApp/,
    ],
  ])('is %s by the token', (_what, claims, flag, says) => {
    const explained = explainedByToken(refusal(), login(claims))
    expect(explained.flag).toBe(flag)
    expect(explained.verdict).toMatchObject({ persistence: 'human', blocks: expect.arrayContaining(['receive']) })
    expect(explained.evidence).toMatch(says)
    expect(explained.evidence).toContain(CATCH_ALL)
    expect(explained.evidence).not.toContain(login(claims).accessToken)
  })

  test.each([
    ['a delegated token', { aud: MAIL, scp: 'POP.AccessAsUser.All', upn: 'INFO@firma.example' }],
    ['the token of an app', { aud: '00000002-0000-0ff1-ce00-000000000000', roles: ['POP.AccessAsApp'] }],
    ['a token of the US Government cloud', { aud: 'https://outlook.office365.us/', scp: 'POP.AccessAsUser.All' }],
  ])('stays what it is where %s is all right', (_what, claims) => {
    const before = refusal()
    expect(explainedByToken(before, login(claims))).toBe(before)
  })

  test('names the user of the token where it is another one, and no other cause: a shared mailbox may be meant', () => {
    const claims = { aud: MAIL, scp: 'POP.AccessAsUser.All', upn: 'chef@firma.example' }
    const explained = explainedByToken(refusal(), login(claims))
    expect(explained.flag).toBe('pop3_auth_rejected')
    expect(explained.verdict.persistence).toBe('transient')
    expect(explained.evidence).toMatch(
      /the token is that of chef@firma\.example, the user name is info@firma\.example$/,
    )
  })

  test('is not looked into where the reply named a cause, or the login was a password, or the token is opaque', () => {
    const named = refusal('mailbox_in_use')
    const graph = { aud: 'https://graph.microsoft.com', scp: 'User.Read' }
    expect(explainedByToken(named, login(graph))).toBe(named)
    const before = refusal()
    expect(explainedByToken(before, { mechanism: 'password', username: 'a', password: 'b' })).toBe(before)
    expect(explainedByToken(before, { mechanism: 'xoauth2', username: 'a', accessToken: 'EwB4A8l6BAAU' })).toBe(before)
  })

  test('at SMTP is told from what sending needs', () => {
    const smtp = refusal('smtp_auth_rejected', 'smtp')
    expect(explainedByToken(smtp, login({ aud: MAIL, scp: 'User.Read' })).flag).toBe('permission_missing_smtp')
    expect(explainedByToken(smtp, login({ aud: MAIL, scp: 'SMTP.Send' }))).toBe(smtp)
    expect(explainedByToken(smtp, login({ aud: 'api://x', scp: 'User.Read' })).flag).toBe('token_wrong_audience')
  })
})
