// Secrets that can be recognised wherever they turn up, in every spelling that a form, a URL, a JSON text or a login gives them.

import { randomBytes } from 'node:crypto'

/** With signs that every encoding changes. */
export const canary = (name: string): string => `Cnry-${name}-${randomBytes(6).toString('hex')}+&="ä`

const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64')

/** Of one secret; `users`: who logs in with it. */
export function spellingsOf(secret: string, users: readonly string[] = []): string[] {
  const logins = users.flatMap((user) => [
    base64(`\0${user}\0${secret}`),
    base64(`user=${user}\x01auth=Bearer ${secret}\x01\x01`),
  ])
  return [
    ...new Set([
      secret,
      secret.slice(0, 22), // up to the signs that are spelled in many ways
      encodeURIComponent(secret),
      new URLSearchParams({ s: secret }).toString().slice(2),
      JSON.stringify(secret).slice(1, -1),
      base64(secret),
      Buffer.from(secret).toString('base64url'),
      ...logins,
    ]),
  ].filter((spelling) => spelling.length > 12)
}

export interface Hit {
  readonly where: string
  readonly secret: string
}

/** Which secrets are found in which texts. */
export function search(texts: ReadonlyMap<string, string>, secrets: ReadonlyMap<string, readonly string[]>): Hit[] {
  return [...texts].flatMap(([where, text]) =>
    [...secrets].flatMap(([secret, spellings]) =>
      spellings.some((spelling) => text.includes(spelling)) ? [{ where, secret }] : [],
    ),
  )
}
