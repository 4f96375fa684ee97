import { describe, expect, test } from 'vitest'
import { readClaims } from '../../../src/oauth/claims.ts'

const jwt = (claims: unknown): string =>
  `${[{ alg: 'RS256' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.sig`

describe('the claims of an access token', () => {
  test('of a signed-in user name the mailbox, the permissions, the app and the tenant', () => {
    const token = jwt({
      aud: 'https://outlook.office.com',
      scp: 'POP.AccessAsUser.All SMTP.Send',
      tid: 'tenant-1',
      appid: 'app-1',
      upn: 'info@muster.example',
      exp: 1_773_220_767,
    })
    expect(readClaims(token)).toEqual({
      audience: 'https://outlook.office.com',
      scopes: ['POP.AccessAsUser.All', 'SMTP.Send'],
      roles: [],
      tenantId: 'tenant-1',
      appId: 'app-1',
      username: 'info@muster.example',
      expiresAt: new Date('2026-03-11T09:19:27Z'),
    })
  })

  test('of an app show its roles, and that there are none where nothing was granted', () => {
    const granted = readClaims(
      jwt({ aud: 'https://outlook.office365.com', roles: ['POP.AccessAsApp', 'SMTP.SendAsApp'] }),
    )
    expect(granted?.roles).toEqual(['POP.AccessAsApp', 'SMTP.SendAsApp'])
    expect(granted?.username).toBeUndefined()
    expect(readClaims(jwt({ aud: 'https://outlook.office365.com' }))?.roles).toEqual([])
  })

  test('are read from the names that other servers use', () => {
    const claims = readClaims(
      jwt({ aud: ['mail', 'other'], scope: 'mail', azp: 'app-2', preferred_username: 'a@b.example' }),
    )
    expect(claims).toMatchObject({ audience: 'mail', scopes: ['mail'], appId: 'app-2', username: 'a@b.example' })
  })

  test.each([
    ['a token of a personal Microsoft account', 'EwBAA8l6BAAU.opaque'],
    ["one of Google's", 'ya29.a0AfH6SMC'],
    ['an empty one', ''],
    ['three parts that are no JSON', 'a.b.c'],
    ['a JSON array', jwt([1, 2])],
    ['a JSON null', jwt(null)],
    ['an encrypted token with five parts', 'a.b.c.d.e'],
  ])('are absent in %s', (_what, token) => {
    expect(readClaims(token)).toBeUndefined()
  })

  test('of the wrong types count as absent instead of being believed', () => {
    expect(readClaims(jwt({ aud: 7, scp: { a: 1 }, roles: 'one', exp: 'soon', upn: '' }))).toEqual({
      audience: undefined,
      scopes: [],
      roles: ['one'],
      tenantId: undefined,
      appId: undefined,
      username: undefined,
      expiresAt: undefined,
    })
  })
})
