// Refresh tokens of the simulator, in families: all that descend from one sign-in. A strict server keeps the newest alone, and revokes the
// family when an old one comes back (RFC 9700 section 4.14.2); at Entra and Google a token dies of disuse.

import { randomBytes } from 'node:crypto'
import { DAY_MS, type Clock } from '../base/clock.ts'
import type { Kind } from './token-refusals.ts'

export interface Family {
  readonly email: string
  readonly clientId: string
  readonly kind: Kind
  /** The newest token alone, where the server is strict. */
  readonly current: Set<string>
  revoked: boolean
}

/** Entra 90 days (learn.microsoft.com, "Refresh tokens"), Google six months. */
const DIES_OF_DISUSE_MS: Partial<Record<Kind, number>> = { microsoft: 90 * DAY_MS, google: 182 * DAY_MS }

export const opaque = (): string => randomBytes(64).toString('base64url')

export class Families {
  readonly #families = new Map<string, Family>()
  readonly #usedAt = new Map<string, number>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  found({ email, clientId }: Pick<Family, 'email' | 'clientId'>, kind: Kind): Family {
    return { email, clientId, kind, current: new Set(), revoked: false }
  }

  has(token: string): boolean {
    return this.#families.has(token)
  }

  /** A new token of the family. */
  grow(family: Family, token = opaque()): string {
    this.#families.set(token, family)
    this.#usedAt.set(token, this.#clock.now().getTime())
    family.current.add(token)
    return token
  }

  of(token: string): Family | undefined {
    return this.#families.get(token)
  }

  /** The token is presented. Returns what is wrong with it. */
  present(token: string, family: Family): 'refresh_token_revoked' | 'refresh_token_expired' | undefined {
    if (family.kind === 'generic' && !family.current.has(token)) family.revoked = true
    if (family.revoked) return 'refresh_token_revoked'
    const now = this.#clock.now().getTime()
    if (now - (this.#usedAt.get(token) ?? now) > (DIES_OF_DISUSE_MS[family.kind] ?? Infinity))
      return 'refresh_token_expired'
    this.#usedAt.set(token, now)
    return undefined
  }

  revoke(email: string): void {
    for (const family of this.#families.values())
      if (family.email.toLowerCase() === email.toLowerCase()) family.revoked = true
  }
}
