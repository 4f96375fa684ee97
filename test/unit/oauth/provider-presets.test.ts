import { describe, expect, test } from 'vitest'
import { PROVIDERS } from '../../../src/base/failure.ts'
import { entraTenantOf, loginDelayOf, presetFor, providerOf } from '../../../src/oauth/provider-presets.ts'

describe('the provider of an account', () => {
  test.each([
    ['https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token', 'microsoft'],
    ['https://LOGIN.microsoftonline.us/contoso.example/oauth2/v2.0/token', 'microsoft'],
    ['https://login.partner.microsoftonline.cn/contoso.example/oauth2/token', 'microsoft'],
    ['https://sts.windows.net/contoso.example/oauth2/token', 'microsoft'],
    ['https://localhost:8443/contoso.example/oauth2/v2.0/token', 'microsoft'],
    ['https://gateway.example/contoso.example/oauth2/v2.0/token/', 'microsoft'],
    ['https://oauth2.googleapis.com/token', 'google'],
    ['https://accounts.google.com/o/oauth2/token', 'google'],
    ['https://sso.example/realms/mail/protocol/openid-connect/token', 'generic'],
    ['https://adfs.example/adfs/oauth2/token', 'generic'],
    ['https://login.microsoftonline.com.evil.example/x/token', 'generic'],
    ['not a url', 'generic'],
  ])('whose token endpoint is %s is %s', (tokenEndpoint, provider) => {
    expect(providerOf(tokenEndpoint)).toBe(provider)
  })

  test.each([
    ['outlook.office365.com', 'microsoft'],
    ['OUTLOOK.OFFICE365.US.', 'microsoft'],
    ['outlook-dod.office365.us', 'microsoft'],
    ['partner.outlook.cn', 'microsoft'],
    ['pop-mail.outlook.com', 'microsoft'],
    ['pop.gmail.com', 'google'],
    ['pop.googlemail.com', 'google'],
    ['notoutlook.com', 'generic'],
    ['mail.muster.example', 'generic'],
  ])('without a token endpoint is told by the POP3 host: %s is %s', (host, provider) => {
    expect(providerOf(null, host)).toBe(provider)
    expect(providerOf('https://sso.example/token', host)).toBe(provider)
  })

  test('is told by the token endpoint first', () => {
    expect(providerOf('https://oauth2.googleapis.com/token', 'outlook.office365.com')).toBe('google')
  })

  test('the tenant is the first step of an Entra path', () => {
    expect(entraTenantOf('https://login.microsoftonline.com/organizations/oauth2/v2.0/token')).toBe('organizations')
    expect(entraTenantOf('https://login.microsoftonline.com/oauth2/v2.0/token')).toBeUndefined()
    expect(entraTenantOf(null)).toBeUndefined()
  })
})

describe('the presets', () => {
  test('never speak in clear and poll no faster than the provider bears', () => {
    for (const provider of PROVIDERS) {
      const preset = presetFor(provider)
      expect(preset.defaultPollIntervalMs).toBeGreaterThanOrEqual(preset.minPollIntervalMs)
      for (const endpoint of [preset.pop3, preset.smtp]) expect(endpoint?.security).not.toBe('none')
    }
    // Gmail announces LOGIN-DELAY 300.
    expect(presetFor('google').minPollIntervalMs).toBe(300_000)
  })

  test('name token endpoints of their own provider', () => {
    const told = PROVIDERS.map((provider) =>
      providerOf(presetFor(provider).tokenEndpoint?.replace('{tenant}', 'x') ?? null),
    )
    expect(told).toEqual([...PROVIDERS])
  })
})

test.each([
  [['300'], 300],
  [['900', 'USER'], 900],
  [['0'], 0],
  [['1000000000000'], 86_400],
  [['9'.repeat(400)], 86_400],
  [['1.5'], 0],
  [['-5'], 0],
  [['Infinity'], 0],
  [[], 0],
])('LOGIN-DELAY %j keeps us away for %d seconds', (words, seconds) => {
  expect(loginDelayOf(new Map([['LOGIN-DELAY', words]]))).toBe(seconds)
})

test('without LOGIN-DELAY nothing keeps us away', () => {
  expect(loginDelayOf(new Map())).toBe(0)
})
