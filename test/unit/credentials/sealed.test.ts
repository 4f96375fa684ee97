import { describe, expect, test } from 'vitest'
import {
  openAccessToken,
  openClientProof,
  openCredential,
  sealAccessToken,
  sealClientProof,
  sealCredential,
  type StoredCredential,
} from '../../../src/credentials/sealed.ts'
import { UserError } from '../../../src/base/failure.ts'
import type { ProofKind } from '../../../src/db/schema-credentials.ts'
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
const SECRET = { kind: 'secret', secret: 'canary' } as const
const CERTIFICATE = { kind: 'certificate', certificatePem: 'public', privateKeyPem: 'canary' } as const
const client = (id: number, clientSecretSealed: string | null, proofKind: ProofKind = 'secret') =>
  ({
    id,
    provider: 'microsoft',
    tokenEndpoint: 'https://login.example/token',
    clientId: 'app',
    proofKind,
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
    expect(openClientProof(vault, client(3, sealClientProof(vault, 3, SECRET)))).toEqual(SECRET)
    const sealed = sealClientProof(vault, 3, CERTIFICATE)
    expect(sealed).not.toContain('canary')
    expect(openClientProof(vault, client(3, sealed, 'certificate'))).toEqual(CERTIFICATE)
    expect(sealClientProof(vault, 3, { kind: 'none' })).toBeNull()
    expect(openClientProof(vault, client(3, null, 'none'))).toEqual({ kind: 'none' })
  })

  test('does not open for another registration', () => {
    expect(() => openClientProof(vault, client(4, sealClientProof(vault, 3, SECRET)))).toThrow(UserError)
  })
})
