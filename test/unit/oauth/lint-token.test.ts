import { describe, expect, test } from 'vitest'
import { describeToken, lintToken, type TokenAbout } from '../../../src/oauth/lint-token.ts'

const MAIL = 'https://outlook.office365.com'
const TENANT = '6b29fc40-ca47-1067-b31d-00dd010662da'
const NOW = new Date('2026-11-26T10:00:00Z')
const token = (claims: object): string =>
  ['{"alg":"none"}', JSON.stringify(claims), ''].map((part) => Buffer.from(part).toString('base64url')).join('.')
const about = (over: Partial<TokenAbout> = {}): TokenAbout => ({
  provider: 'microsoft',
  flow: 'authorization_code',
  direction: 'receive',
  mailbox: 'info@firma.example',
  username: 'info@firma.example',
  tokenEndpoint: `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/token`,
  clientId: 'app',
  now: NOW,
  ...over,
})
const GOOD = {
  aud: MAIL,
  scp: 'POP.AccessAsUser.All SMTP.Send',
  upn: 'Info@firma.example',
  tid: TENANT.toUpperCase(),
  appid: 'APP',
  exp: NOW.getTime() / 1000 + 3600,
}
const found = (claims: object, over: Partial<TokenAbout> = {}): string[] =>
  lintToken(token(claims), about(over)).map(({ flag, certain }) => `${flag}${certain ? '!' : ''}`)

describe('a token is read before it is used', () => {
  test.each<[string, object, Partial<TokenAbout>, string[]]>([
    ['all is as it should be', GOOD, {}, []],
    ['the token of an app for sending', { aud: `${MAIL}/`, roles: ['SMTP.SendAsApp'] }, { direction: 'send' }, []],
    ['the cloud of the US Government', { ...GOOD, aud: 'https://outlook.office365.us' }, {}, []],
    ['the cloud in China', { ...GOOD, aud: 'https://partner.outlook.cn' }, {}, []],
    ['Graph', { ...GOOD, aud: 'https://graph.microsoft.com' }, {}, ['token_wrong_audience!']],
    ['Graph by its id', { ...GOOD, aud: '00000003-0000-0000-c000-000000000000' }, {}, ['token_wrong_audience!']],
    ['POP is missing', { ...GOOD, scp: 'SMTP.Send' }, {}, ['permission_missing_pop!']],
    ['SMTP is missing', { ...GOOD, scp: 'POP.AccessAsUser.All' }, { direction: 'send' }, ['permission_missing_smtp!']],
    ['an app that was granted nothing', { aud: MAIL }, {}, ['admin_consent_missing!']],
    ['an app that may only send', { aud: MAIL, roles: ['SMTP.SendAsApp'] }, {}, ['admin_consent_missing!']],
    ['another user', { ...GOOD, upn: 'chef@firma.example' }, {}, ['token_of_another_user']],
    [
      'the user who signs in for a shared mailbox',
      { ...GOOD, upn: 'chef@firma.example' },
      { username: 'chef@firma.example' },
      [],
    ],
    ['another tenant', { ...GOOD, tid: '11111111-2222-3333-4444-555555555555' }, {}, ['wrong_tenant_for_user']],
    ['another app', { ...GOOD, appid: 'other' }, {}, ['token_client_mismatch']],
    ['an end in the past', { ...GOOD, exp: NOW.getTime() / 1000 - 3600 }, {}, ['clock_skew']],
    ['a clock that is a minute off', { ...GOOD, exp: NOW.getTime() / 1000 - 60 }, {}, []],
    ['too long for POP3', { ...GOOD, wids: 'x'.repeat(4_000) }, {}, ['pop3_token_too_long']],
    ['long, for sending', { ...GOOD, wids: 'x'.repeat(4_000) }, { direction: 'send' }, []],
    [
      'several things at once',
      { ...GOOD, scp: 'SMTP.Send', appid: 'x' },
      {},
      ['permission_missing_pop!', 'token_client_mismatch'],
    ],
  ])('%s', (_what, claims, over, flags) => {
    expect(found(claims, over)).toEqual(flags)
  })

  test.each(['EwB4A8l6BAAU', 'ya29.a0AfH6SM', '', 'a.b', 'a.!!.c'])('an opaque one is left alone: %j', (opaque) => {
    expect(lintToken(opaque, about())).toEqual([])
    expect(describeToken(opaque)).toEqual({ opaque: true, lengthBytes: opaque.length })
  })

  test('one of another provider is left alone, whatever it looks like', () => {
    expect(found({ aud: 'anything' }, { provider: 'generic' })).toEqual([])
  })

  test('is described without being shown', () => {
    const described = describeToken(token(GOOD))
    expect(described).toMatchObject({ opaque: false, audience: MAIL, scopes: ['POP.AccessAsUser.All', 'SMTP.Send'] })
    expect(JSON.stringify(described)).not.toContain(token(GOOD))
  })
})
