// Logging in and out, the first set-up, invitations, and what everybody may change of himself.

import { TOTP, Secret } from 'otpauth'
import { z } from 'zod'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { problem } from '../../contract/basics.ts'
import {
  acceptInvitation,
  invitationState,
  login,
  myChange,
  passwordChange,
  passwordOnly,
  sessionState,
  totpBegun,
  totpConfirm,
} from '../../contract/people.ts'
import { audit } from '../../db/audit.ts'
import {
  anyOperator,
  changeOperator,
  createOperator,
  findInvitation,
  findOperator,
  noteLogin,
  takeTotpStep,
  useInvitation,
  type Operator,
} from '../../db/operators.ts'
import { createSession, endSessions, forgiveLogin, loginBlockedUntil, noteRefusedLogin } from '../../db/sessions.ts'
import { newToken, tokenHash } from '../../secrets/token.ts'
import { API, type ApiContext, type App } from '../context.ts'
import { COOKIE, needs, SESSION_MS, whoOf } from '../guard.ts'
import { hashPassword, isPassword } from '../passwords.ts'
import { Refused } from '../problems.ts'

const TOTP_ISSUER = 'Poststelle'
const TOTP_PERIOD_SECONDS = 30
const NOTHING = z.null()

export function addSessionRoutes(app: App, ctx: ApiContext): void {
  const { db, vault } = ctx

  app.get(
    `${API}/session`,
    { ...needs('public'), schema: { tags: ['people'], summary: 'Who is logged in', response: { 200: sessionState } } },
    async ({ who }) => {
      const operator = who?.session && (await findOperator(db, { id: who.session.operatorId }))
      return {
        me: operator
          ? {
              name: operator.name,
              role: operator.role,
              may_read_mail: operator.mayReadMail,
              language: operator.language,
              totp: operator.totpConfirmedAt !== null,
            }
          : null,
        set_up: !(await anyOperator(db)),
        version: ctx.version,
        environment: ctx.config.environment,
      }
    },
  )

  app.post(
    `${API}/session`,
    {
      ...needs('public'),
      schema: {
        tags: ['people'],
        summary: 'Log in',
        body: login,
        response: { 200: NOTHING, 401: problem, 429: problem },
      },
    },
    async (request, reply) => {
      sameOrigin(request)
      const { name, password, code } = request.body
      const keys = [`name ${name.toLowerCase()}`, `address ${request.ip}`]
      const until = await loginBlockedUntil(db, keys)
      if (until) throw new Refused('login_blocked', '', { retryAt: until })
      const operator = await findOperator(db, { name })
      const known = operator !== undefined && operator.disabledAt === null
      const right = (await isPassword(password, operator?.passwordHash)) && known
      if (right && operator.totpConfirmedAt !== null && code === undefined) throw new Refused('code_needed')
      if (!right || !(await codeFits(ctx, operator, code))) {
        await noteRefusedLogin(db, keys)
        await audit(db, { kind: 'nobody', name, ip: request.ip }, { action: 'login refused' })
        throw new Refused('login_refused')
      }
      await forgiveLogin(db, keys[0] ?? '')
      await logIn(ctx, request, reply, operator)
      return null
    },
  )

  app.delete(
    `${API}/session`,
    { ...needs('public'), schema: { tags: ['people'], summary: 'Log out', response: { 200: NOTHING } } },
    async ({ who }, reply) => {
      if (who?.session) {
        await endSessions(db, { id: who.session.id })
        await audit(db, who.actor, { action: 'logged out' })
      }
      void reply.clearCookie(COOKIE, COOKIE_OPTIONS).header('clear-site-data', '"cache", "storage"')
      return null
    },
  )

  addInvitationRoutes(app, ctx)

  app.patch(
    `${API}/me`,
    {
      ...needs('reader'),
      schema: { tags: ['people'], summary: 'Change the language', body: myChange, response: { 200: NOTHING } },
    },
    async (request) => {
      await changeOperator(db, ownId(request), { language: request.body.language })
      return null
    },
  )

  app.post(
    `${API}/me/password`,
    {
      ...needs('reader'),
      schema: { tags: ['people'], summary: 'Change the password', body: passwordChange, response: { 200: NOTHING } },
    },
    async (request, reply) => {
      const operator = await confirmed(ctx, request, request.body.current)
      await changeOperator(db, operator.id, { passwordHash: await hashPassword(request.body.password) })
      await audit(db, whoOf(request).actor, { action: 'password changed', object: `operator ${operator.id}` })
      await rotate(ctx, request, reply, operator)
      return null
    },
  )

  app.post(
    `${API}/me/totp`,
    {
      ...needs('reader'),
      schema: {
        tags: ['people'],
        summary: 'Begin with codes of an authenticator app',
        body: passwordOnly,
        response: { 200: totpBegun },
      },
    },
    async (request) => {
      const operator = await confirmed(ctx, request, request.body.password)
      const secret = new Secret({ size: 20 })
      const sealed = vault.seal(secret.base32, { table: 'operators', id: operator.id, column: 'totp' })
      await changeOperator(db, operator.id, { totp: { sealed, confirmedAt: null } })
      const uri = new TOTP({
        issuer: TOTP_ISSUER,
        label: operator.name,
        secret,
        period: TOTP_PERIOD_SECONDS,
      }).toString()
      return { secret: secret.base32, uri }
    },
  )

  app.post(
    `${API}/me/totp/confirm`,
    {
      ...needs('reader'),
      schema: {
        tags: ['people'],
        summary: 'Confirm it by the first code',
        body: totpConfirm,
        response: { 200: NOTHING },
      },
    },
    async (request, reply) => {
      const operator = await findOperator(db, { id: ownId(request) })
      if (!operator || operator.totpSealed === null || !(await codeFits(ctx, operator, request.body.code, true)))
        throw new Refused('login_refused')
      await changeOperator(db, operator.id, { totp: { sealed: operator.totpSealed, confirmedAt: ctx.clock.now() } })
      await audit(db, whoOf(request).actor, { action: 'second factor switched on', object: `operator ${operator.id}` })
      await rotate(ctx, request, reply, operator)
      return null
    },
  )

  app.delete(
    `${API}/me/totp`,
    {
      ...needs('reader'),
      schema: { tags: ['people'], summary: 'Log in without codes', body: passwordOnly, response: { 200: NOTHING } },
    },
    async (request) => {
      const operator = await confirmed(ctx, request, request.body.password)
      await changeOperator(db, operator.id, { totp: null })
      await audit(db, whoOf(request).actor, { action: 'second factor switched off', object: `operator ${operator.id}` })
      return null
    },
  )
}

function addInvitationRoutes(app: App, ctx: ApiContext): void {
  const { db } = ctx
  const params = z.object({ token: z.string().min(20).max(100) })
  app.get(
    `${API}/invitations/:token`,
    {
      ...needs('public'),
      schema: {
        tags: ['people'],
        summary: 'Whom a link is for',
        params,
        response: { 200: invitationState, 410: problem },
      },
    },
    async ({ params: { token } }) => {
      const found = await findInvitation(db, tokenHash(token))
      if (!found) throw new Refused('link_over')
      return { first: found.operatorId === null, name: found.name }
    },
  )
  app.post(
    `${API}/invitations/:token`,
    {
      ...needs('public'),
      schema: {
        tags: ['people'],
        summary: 'Choose a password by a link; the first one makes the administrator',
        params,
        body: acceptInvitation,
        response: { 200: NOTHING, 409: problem, 410: problem },
      },
    },
    async (request, reply) => {
      sameOrigin(request)
      const { password, language, name } = request.body
      const found = await findInvitation(db, tokenHash(request.params.token))
      if (!found) throw new Refused('link_over')
      if (found.operatorId === null && name === undefined)
        throw new Refused('invalid_request', '', { fields: [{ field: 'name', message: 'is missing' }] })
      const passwordHash = await hashPassword(password)
      const id = await db.transaction().execute(async (tx) => {
        if (!(await useInvitation(tx, found.id))) throw new Refused('link_over')
        if (found.operatorId !== null) {
          await changeOperator(tx, found.operatorId, { passwordHash, language })
          await endSessions(tx, { operatorId: found.operatorId })
          return found.operatorId
        }
        if (await anyOperator(tx)) throw new Refused('link_over')
        const made = await createOperator(tx, {
          name: name ?? '',
          role: 'admin',
          mayReadMail: true,
          passwordHash,
          ...(language && { language }),
        })
        if (made === undefined) throw new Refused('conflict', 'name: is taken')
        return made
      })
      const operator = await findOperator(db, { id })
      if (!operator) throw new Refused('link_over')
      await audit(
        db,
        { kind: 'operator', name: operator.name, ip: request.ip },
        {
          action: found.operatorId === null ? 'first administrator made' : 'invitation accepted',
          object: `operator ${id}`,
        },
      )
      await logIn(ctx, request, reply, operator)
      return null
    },
  )
}

const COOKIE_OPTIONS = { path: '/', httpOnly: true, secure: true, sameSite: 'strict' } as const

async function logIn(ctx: ApiContext, request: FastifyRequest, reply: FastifyReply, operator: Operator): Promise<void> {
  const token = newToken()
  await createSession(ctx.db, {
    tokenHash: tokenHash(token),
    operatorId: operator.id,
    lifeMs: SESSION_MS,
    ip: request.ip,
    userAgent: request.headers['user-agent'] ?? '',
  })
  await noteLogin(ctx.db, operator.id)
  await audit(ctx.db, { kind: 'operator', name: operator.name, ip: request.ip }, { action: 'logged in' })
  void reply.setCookie(COOKIE, token, { ...COOKIE_OPTIONS, maxAge: SESSION_MS / 1000 })
}

/** Whoever had the old cookie is out, on all machines. */
async function rotate(
  ctx: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  operator: Operator,
): Promise<void> {
  await endSessions(ctx.db, { operatorId: operator.id })
  await logIn(ctx, request, reply, operator)
}

/** What has no session yet is no less to come from our own page. */
function sameOrigin({ headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin') throw new Refused('other_site')
}

function ownId(request: FastifyRequest): number {
  const { session } = whoOf(request)
  if (!session) throw new Refused('not_allowed', 'a token has no operator')
  return session.operatorId
}

/** The password once more, as often as logins allow it. */
async function confirmed(ctx: ApiContext, request: FastifyRequest, password: string): Promise<Operator> {
  const operator = await findOperator(ctx.db, { id: ownId(request) })
  const key = `name ${operator?.name.toLowerCase() ?? ''}`
  const until = await loginBlockedUntil(ctx.db, [key])
  if (until) throw new Refused('login_blocked', '', { retryAt: until })
  if (!operator || !(await isPassword(password, operator.passwordHash))) {
    await noteRefusedLogin(ctx.db, [key])
    throw new Refused('login_refused')
  }
  return operator
}

/** RFC 6238; a code of the step before or behind is taken as well, and none twice. */
async function codeFits(
  { db, vault, clock }: ApiContext,
  operator: Operator,
  code: string | undefined,
  unconfirmed = false,
): Promise<boolean> {
  if (operator.totpSealed === null || (operator.totpConfirmedAt === null && !unconfirmed)) return true
  if (code === undefined) return false
  const secret = vault.open(operator.totpSealed, { table: 'operators', id: operator.id, column: 'totp' })
  const totp = new TOTP({ secret: Secret.fromBase32(secret), period: TOTP_PERIOD_SECONDS })
  const timestamp = clock.now().getTime()
  const delta = totp.validate({ token: code, window: 1, timestamp })
  if (delta === null) return false
  return await takeTotpStep(db, operator.id, Math.floor(timestamp / 1000 / TOTP_PERIOD_SECONDS) + delta)
}
