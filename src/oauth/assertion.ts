// A JWT that a key signs for somebody (RFC 7523 section 2.1): how a Google service account asks for a token in the name of a mailbox
// of its Workspace. developers.google.com, "Using OAuth 2.0 for Server to Server Applications".

import { createPrivateKey, sign, webcrypto, type KeyObject } from 'node:crypto'

export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const LIFE_SECONDS = 3600

export interface AssertionOptions {
  readonly issuer: string
  /** The mailbox. */
  readonly subject: string
  readonly audience: string
  readonly scope: string
  readonly keyId: string
  readonly privateKeyPem: string
  readonly now: Date
}

/** Throws where the key cannot be read. */
export function signedAssertion(o: AssertionOptions): string {
  const issuedAt = Math.floor(o.now.getTime() / 1000)
  const header = { alg: 'RS256', typ: 'JWT', kid: o.keyId }
  const claims = {
    iss: o.issuer,
    sub: o.subject,
    aud: o.audience,
    scope: o.scope,
    iat: issuedAt,
    exp: issuedAt + LIFE_SECONDS,
  }
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part(header)}.${part(claims)}`
  return `${text}.${sign('RSA-SHA256', Buffer.from(text), createPrivateKey(o.privateKeyPem)).toString('base64url')}`
}

const CURVES: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }

/** A private key as the library wants it, for a client assertion (RFC 7523 section 2.2). Throws where the key cannot be read. */
export async function clientKey(privateKeyPem: string): Promise<webcrypto.CryptoKey> {
  const key = createPrivateKey(privateKeyPem)
  return await webcrypto.subtle.importKey(
    'pkcs8',
    key.export({ type: 'pkcs8', format: 'der' }),
    algorithmOf(key),
    false,
    ['sign'],
  )
}

function algorithmOf(key: KeyObject): webcrypto.RsaHashedImportParams | webcrypto.EcKeyImportParams {
  if (key.asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  const namedCurve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? '']
  if (namedCurve === undefined) throw new Error('the key is neither RSA nor on a NIST curve')
  return { name: 'ECDSA', namedCurve }
}
