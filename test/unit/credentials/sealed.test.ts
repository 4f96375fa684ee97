import { describe, expect, test } from 'vitest'
import {
  openAccessToken,
  openClientSecret,
  openCredential,
  sealAccessToken,
  sealClientSecret,
  sealCredential,
  type StoredCredential,
} from '../../../src/credentials/sealed.ts'
import { UserError } from '../../../src/base/failure.ts'
import type { Grant } from '../../../src/db/grants.ts'
import { Vault } from '../../../src/secrets/vault.ts'

const vault = new Vault([{ id: 'k1', bytes: Buffer.alloc(32, 1) }])
const CREDENTIAL: StoredCredential = {
  given: { refreshToken: 'canary-1' },
  current: { refreshToken: 'canary-2', msalCache: '{"a":"ü"}' },
}
const grant = (over: Partial<Grant>): Grant => ({
  accountId: 7,
  credentialSealed: sealCredential(vault, 7, CREDENTIAL),
  accessTokenSealed: sealAccessToken(vault, 7, 'canary-token'),
  accessExpiresAt: null,
  refreshedAt: null,
  version: 1,
  refusal: null,
  parkedUntil: null,
  ...over,
})
const client = (id: number, clientSecretSealed: string | null) =>
  ({
    id,
    provider: 'microsoft',
    tokenEndpoint: 'https://login.example/token',
    clientId: 'app',
    clientSecretSealed,
  }) as const

describe('the secrets of a grant', () => {
  test('come back as they were sealed: as given by the operator and as they work now', () => {
    expect(openCredential(vault, grant({}))).toEqual(CREDENTIAL)
    expect(openAccessToken(vault, grant({}))).toBe('canary-token')
    expect(openAccessToken(vault, grant({ accessTokenSealed: null }))).toBeUndefined()
  })

  test('do not open for another account', () => {
    expect(() => openCredential(vault, grant({ accountId: 8 }))).toThrow(UserError)
    expect(() => openAccessToken(vault, grant({ accountId: 8 }))).toThrow(UserError)
  })

  test('do not open in place of each other', () => {
    const swapped = grant({
      credentialSealed: sealAccessToken(vault, 7, '{}'),
      accessTokenSealed: sealCredential(vault, 7, CREDENTIAL),
    })
    expect(() => openCredential(vault, swapped)).toThrow(UserError)
    expect(() => openAccessToken(vault, swapped)).toThrow(UserError)
  })
})

describe('the secret of an app registration', () => {
  test('comes back as it was sealed; a public client has none', () => {
    expect(openClientSecret(vault, client(3, sealClientSecret(vault, 3, 'canary')))).toBe('canary')
    expect(sealClientSecret(vault, 3, null)).toBeNull()
    expect(openClientSecret(vault, client(3, null))).toBeNull()
  })

  test('does not open for another registration', () => {
    expect(() => openClientSecret(vault, client(4, sealClientSecret(vault, 3, 'canary')))).toThrow(UserError)
  })
})
