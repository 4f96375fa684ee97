// JWTs that clients sign (RFC 7523): checked as the providers check them, by the public key that was registered.

import { constants, createPublicKey, verify } from 'node:crypto'

const HASHES: Readonly<Record<string, string>> = { RS256: 'sha256', PS256: 'sha256', ES256: 'sha256', ES384: 'sha384' }

/** The claims, where the signature is that of the key; undefined otherwise. */
export function signedClaims(jwt: string, publicKeyPem: string): Record<string, unknown> | undefined {
  const [header = '', payload = '', signature = ''] = jwt.split('.')
  const algorithm = String(parse(header)['alg'])
  const hash = HASHES[algorithm]
  if (hash === undefined) return undefined
  const key = {
    key: createPublicKey(publicKeyPem),
    ...(algorithm.startsWith('PS') && {
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    }),
    ...(algorithm.startsWith('ES') && { dsaEncoding: 'ieee-p1363' as const }),
  }
  const isGenuine = verify(hash, Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'))
  return isGenuine ? parse(payload) : undefined
}

/** Unchecked. */
export const claimsOf = (jwt: string): Record<string, unknown> => parse(jwt.split('.')[1] ?? '')

function parse(part: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}
