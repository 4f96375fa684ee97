// What an access token says about itself. Work and school tokens of Microsoft are JWTs (RFC 7519); those of personal accounts
// and of Google are opaque. The signature is not checked: a token is for its audience, and this is advice, never a gate.

export interface TokenClaims {
  readonly audience: string | undefined
  /** Delegated permissions (`scp`). */
  readonly scopes: readonly string[]
  /** Application permissions (`roles`). Entra issues a token even where an app was granted none. */
  readonly roles: readonly string[]
  readonly tenantId: string | undefined
  readonly appId: string | undefined
  readonly username: string | undefined
  /** Of the service principal where the app acts for itself, else of the user. */
  readonly objectId: string | undefined
  readonly expiresAt: Date | undefined
}

/** undefined: the token is opaque. */
export function readClaims(accessToken: string): TokenClaims | undefined {
  const [header, payload, signature, ...rest] = accessToken.split('.')
  if (!header || !payload || signature === undefined || rest.length > 0) return undefined
  const claims = parseObject(Buffer.from(payload, 'base64url').toString('utf8'))
  if (!claims) return undefined
  const [audience] = texts(claims['aud'])
  return {
    audience,
    scopes: texts(claims['scp'] ?? claims['scope']).flatMap((scope) => scope.split(' ').filter(Boolean)),
    roles: texts(claims['roles']),
    tenantId: texts(claims['tid'])[0],
    appId: texts(claims['appid'] ?? claims['azp'])[0],
    username: texts(claims['upn'] ?? claims['unique_name'] ?? claims['preferred_username'])[0],
    objectId: texts(claims['oid'])[0],
    expiresAt: typeof claims['exp'] === 'number' ? new Date(claims['exp'] * 1000) : undefined,
  }
}

/** Payload of a JWT, unchecked; undefined where it is none. */
export function claimsOf(jwt: string): Record<string, unknown> | undefined {
  const [, payload = ''] = jwt.split('.')
  return parseObject(Buffer.from(payload, 'base64url').toString('utf8'))
}

function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}

function texts(value: unknown): string[] {
  return [value].flat().filter((item): item is string => typeof item === 'string' && item !== '')
}
