// Programs and browsers that ask the interface: tokens that are simply there, and a session as a browser has one.

import { createToken } from '../../src/db/sessions.ts'
import type { Db } from '../../src/db/database.ts'
import type { PersonRole } from '../../src/db/schema-people.ts'
import { newToken, tokenHash } from '../../src/secrets/token.ts'

export interface Asked {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // what an answer looks like is what tests are about
  // eslint-disable-next-line
  readonly json: any
}

export type Ask = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Asked>

export async function apiToken(
  db: Db,
  role: PersonRole,
  rights: { mayReadMail?: boolean; maySend?: boolean } = {},
): Promise<string> {
  const secret = `pst_live_${newToken()}`
  await createToken(db, {
    label: `test ${role}`,
    prefix: secret.slice(0, 15),
    role,
    mayReadMail: rights.mayReadMail ?? false,
    maySend: rights.maySend ?? false,
    createdBy: 'test',
    expiresAt: null,
    tokenHash: tokenHash(secret),
  })
  return secret
}

export const askAs =
  (base: string, credentials: Record<string, string>): Ask =>
  async (method, path, body, headers = {}) => {
    const response = await fetch(new URL(path, base), {
      method,
      redirect: 'manual',
      headers: { ...credentials, ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: parsed(text) }
  }

export const askWith = async (
  db: Db,
  base: string,
  role: PersonRole,
  rights?: Parameters<typeof apiToken>[2],
): Promise<Ask> => askAs(base, { authorization: `Bearer ${await apiToken(db, role, rights)}` })

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export const ADMIN = { name: 'admin', password: 'correct horse battery staple' } as const

/** By the link of the first set-up; asks as a page of our own would. */
export async function setUp(service: {
  readonly url: string | undefined
  readonly setUpUrl: string | undefined
}): Promise<Ask> {
  const token = service.setUpUrl?.split('#')[1] ?? ''
  const base = service.url ?? ''
  const answer = await askAs(base, {})('POST', `/api/v1/invitations/${token}`, ADMIN)
  return askAs(base, { cookie: cookieOf(answer), 'sec-fetch-site': 'same-origin' })
}

export const cookieOf = ({ headers }: Pick<Asked, 'headers'>): string => headers.get('set-cookie')?.split(';')[0] ?? ''
