// Who asks, and whether he may: sessions of operators by cookie, tokens of programs by header. Every route says what it needs; one
// that does not is not started.

import type { FastifyRequest } from 'fastify'
import { HOUR_MS } from '../base/clock.ts'
import type { Actor } from '../db/audit.ts'
import type { Db } from '../db/database.ts'
import { useSession, useToken } from '../db/sessions.ts'
import { ROLES_OF_PEOPLE, type PersonRole } from '../db/schema-people.ts'
import { tokenHash } from '../secrets/token.ts'
import { Refused } from './problems.ts'

/** The browser gives it back to this very host only, over TLS or to this machine (RFC 6265bis). */
export const COOKIE = '__Host-poststelle'
export const IDLE_MS = 12 * HOUR_MS
export const SESSION_MS = 7 * 24 * HOUR_MS

/** `public`: everybody. `machine`: also whoever is on this machine, without a login. `mail`: what stands in messages. */
export interface Needs {
  readonly role: PersonRole | 'public'
  readonly mail?: true
  /** A token that may send needs no more. */
  readonly send?: true
  readonly machine?: true
}

export interface Who {
  readonly actor: Actor
  readonly role: PersonRole
  readonly mayReadMail: boolean
  readonly maySend: boolean
  readonly language: 'de' | 'en' | null
  /** Undefined: a program. */
  readonly session?: { readonly id: number; readonly operatorId: number }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    needs?: Needs
  }
  interface FastifyRequest {
    who: Who | undefined
  }
}

export const needs = (role: Needs['role'], more: Omit<Needs, 'role'> = {}): { config: { needs: Needs } } => ({
  config: { needs: { role, ...more } },
})

/** Behind a route's guard. */
export function whoOf(request: FastifyRequest): Who {
  if (!request.who) throw new Refused('login_needed')
  return request.who
}

const rank = (role: PersonRole): number => ROLES_OF_PEOPLE.indexOf(role)

export function mayDo(who: Who, { role, mail, send }: Needs): boolean {
  if (mail && !who.mayReadMail) return false
  if (send && who.maySend) return true
  return role === 'public' || rank(who.role) >= rank(role)
}

/** What came through a proxy came from somewhere else, whatever the address of the proxy. */
export const isOfThisMachine = ({ ip, headers }: FastifyRequest): boolean =>
  /^(127\.|::1$|::ffff:127\.)/.test(ip) &&
  !['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'].some((name) => name in headers) &&
  // a page of another site can point a name at 127.0.0.1: a browser then sends that name
  /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i.test(headers.host ?? '')

export class Guard {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  /** For all routes. Throws Refused. */
  async check(request: FastifyRequest): Promise<void> {
    const { needs: needed } = request.routeOptions.config
    if (!needed) return // no route: the answer is that there is none
    request.who = (await this.#byToken(request)) ?? (await this.#byCookie(request))
    if (request.who?.session && !isSafe(request.method)) refuseOtherSites(request)
    if (needed.role === 'public') return
    if (!request.who) {
      if (needed.machine && isOfThisMachine(request)) return
      throw new Refused('login_needed')
    }
    if (!mayDo(request.who, needed)) throw new Refused('not_allowed')
  }

  async #byCookie(request: FastifyRequest): Promise<Who | undefined> {
    const token = request.cookies[COOKIE]
    if (token === undefined || token.length > 100) return undefined
    const session = await useSession(this.#db, tokenHash(token), IDLE_MS)
    return (
      session && {
        actor: { kind: 'operator', name: session.name, ip: request.ip },
        role: session.role,
        mayReadMail: session.mayReadMail,
        maySend: session.role !== 'reader',
        language: session.language,
        session: { id: session.id, operatorId: session.operatorId },
      }
    )
  }

  /** Bearer (RFC 6750), or the password of Basic for what knows no other: calendars. */
  async #byToken(request: FastifyRequest): Promise<Who | undefined> {
    const [scheme = '', given = ''] = (request.headers.authorization ?? '').split(' ')
    const text =
      scheme.toLowerCase() === 'basic'
        ? Buffer.from(given, 'base64')
            .toString('utf8')
            .replace(/^[^:]*:/, '')
        : given
    if (!text.startsWith(TOKEN_PREFIX)) return undefined
    const token = await useToken(this.#db, tokenHash(text))
    if (!token) throw new Refused('login_needed', 'the token is not known, was revoked, or has expired')
    return {
      actor: { kind: 'token', name: token.label, ip: request.ip },
      role: token.role,
      mayReadMail: token.mayReadMail,
      maySend: token.maySend,
      language: null,
    }
  }
}

/** By which secret scanners know it. */
export const TOKEN_PREFIX = 'pst_live_'

const isSafe = (method: string): boolean => method === 'GET' || method === 'HEAD' || method === 'OPTIONS'

/** A browser sends the cookie by itself: what changes something must come from our own page (Fetch Metadata, else Origin). */
function refuseOtherSites({ headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site']
  if (site !== undefined) {
    if (site !== 'same-origin') throw new Refused('other_site')
    return
  }
  const { origin, host } = headers
  if (origin === undefined || URL.parse(origin)?.host !== host) throw new Refused('other_site')
}
