// Operators, sessions, tokens of programs, and the audit log: for administrators.

import { z } from 'zod'
import { DAY_MS, later } from '../../base/clock.ts'
import { idParams, pageQuery, problem, toPage } from '../../contract/basics.ts'
import { invite } from '../../contract/invite.ts'
import {
  auditCheck,
  auditJson,
  auditPage,
  invitation,
  newOperator,
  newToken as newTokenBody,
  operator as operatorSchema,
  operatorChange,
  operatorJson,
  session,
  sessionJson,
  token,
  tokenJson,
  tokenMade,
} from '../../contract/people.ts'
import { audit, listAudit, verifyAudit } from '../../db/audit.ts'
import { changeRights, createOperator, findOperator, listOperators } from '../../db/operators.ts'
import { createToken, endSessions, listSessions, listTokens, revokeToken } from '../../db/sessions.ts'
import { newToken, tokenHash } from '../../secrets/token.ts'
import { API, type ApiContext, type App } from '../context.ts'
import { IDLE_MS, needs, TOKEN_PREFIX, whoOf } from '../guard.ts'
import { Refused } from '../problems.ts'

const NOTHING = z.null()

export function addPeopleRoutes(app: App, ctx: ApiContext): void {
  const { db } = ctx
  const tags = ['people']

  app.get(
    `${API}/operators`,
    { ...needs('admin'), schema: { tags, summary: 'All operators', response: { 200: z.array(operatorSchema) } } },
    async () => (await listOperators(db)).map(operatorJson),
  )

  app.post(
    `${API}/operators`,
    {
      ...needs('admin'),
      schema: { tags, summary: 'Invite somebody', body: newOperator, response: { 201: invitation, 409: problem } },
    },
    async (request, reply) => {
      const { name, role, may_read_mail: mayReadMail } = request.body
      const id = await createOperator(db, { name, role, mayReadMail })
      if (id === undefined) throw new Refused('conflict', `there is an operator "${name}" already`)
      return await reply.code(201).send(await invite(ctx, whoOf(request).actor, { id, name }))
    },
  )

  app.post(
    `${API}/operators/:id/invitation`,
    {
      ...needs('admin'),
      schema: { tags, summary: 'A link to choose a new password', params: idParams, response: { 201: invitation } },
    },
    async (request, reply) => {
      const found = await findOperator(db, { id: request.params.id })
      if (!found) throw new Refused('not_found')
      return await reply.code(201).send(await invite(ctx, whoOf(request).actor, found))
    },
  )

  app.patch(
    `${API}/operators/:id`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Change rights, or lock out',
        params: idParams,
        body: operatorChange,
        response: { 200: operatorSchema },
      },
    },
    async (request) => {
      const { id } = request.params
      const { role, may_read_mail: mayReadMail, disabled } = request.body
      if (!(await findOperator(db, { id }))) throw new Refused('not_found')
      const left = await changeRights(db, whoOf(request).actor, id, { role, mayReadMail, disabled })
      if (!left) throw new Refused('refused', 'nobody would be left who may administer')
      const changed = await findOperator(db, { id })
      if (!changed) throw new Refused('not_found')
      // what was allowed before is not for what is open now
      await endSessions(db, { operatorId: id, except: whoOf(request).session?.id ?? 0 })
      return operatorJson(changed)
    },
  )

  app.get(
    `${API}/sessions`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'Open sessions: the own ones, for administrators all',
        response: { 200: z.array(session) },
      },
    },
    async (request) => {
      const { role, session: own } = whoOf(request)
      const rows = await listSessions(db, IDLE_MS, role === 'admin' ? undefined : (own?.operatorId ?? 0))
      return rows.map((row) => sessionJson(row, own?.id))
    },
  )

  app.delete(
    `${API}/sessions/:id`,
    { ...needs('reader'), schema: { tags, summary: 'End a session', params: idParams, response: { 200: NOTHING } } },
    async (request) => {
      const { role, session: own, actor } = whoOf(request)
      const ended = await endSessions(db, {
        id: request.params.id,
        ...(role !== 'admin' && { operatorId: own?.operatorId ?? 0 }),
      })
      if (ended === 0) throw new Refused('not_found')
      await audit(db, actor, { action: 'session ended', object: `session ${request.params.id}` })
      return null
    },
  )

  app.get(
    `${API}/tokens`,
    { ...needs('admin'), schema: { tags, summary: 'Tokens of programs', response: { 200: z.array(token) } } },
    async () => (await listTokens(db)).map(tokenJson),
  )

  app.post(
    `${API}/tokens`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Make a token; it is shown this once',
        body: newTokenBody,
        response: { 201: tokenMade },
      },
    },
    async (request, reply) => {
      const { label, role, may_read_mail: mayReadMail, may_send: maySend, days } = request.body
      const { actor } = whoOf(request)
      const secret = `${TOKEN_PREFIX}${newToken()}`
      const about = {
        label,
        prefix: secret.slice(0, TOKEN_PREFIX.length + 6),
        role,
        mayReadMail,
        maySend,
        createdBy: actor.name,
        expiresAt: days === null ? null : later(ctx.clock.now(), days * DAY_MS),
      }
      const id = await createToken(db, { ...about, tokenHash: tokenHash(secret) })
      await audit(db, actor, {
        action: 'token made',
        object: `token ${id}`,
        details: { label, role, prefix: about.prefix },
      })
      return await reply
        .code(201)
        .send({ ...tokenJson({ ...about, id, createdAt: ctx.clock.now(), lastUsedAt: null }), token: secret })
    },
  )

  app.delete(
    `${API}/tokens/:id`,
    { ...needs('admin'), schema: { tags, summary: 'Revoke a token', params: idParams, response: { 200: NOTHING } } },
    async (request) => {
      if (!(await revokeToken(db, request.params.id))) throw new Refused('not_found')
      await audit(db, whoOf(request).actor, { action: 'token revoked', object: `token ${request.params.id}` })
      return null
    },
  )

  app.get(
    `${API}/audit`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Who did what, newest first',
        querystring: z.object({
          ...pageQuery,
          object: z.string().max(100).optional(),
          text: z.string().max(100).optional(),
        }),
        response: { 200: auditPage },
      },
    },
    async ({ query }) => {
      const found = await listAudit(db, {
        limit: query.limit + 1,
        before: query.cursor === undefined ? undefined : Number(query.cursor),
        object: query.object,
        text: query.text,
      })
      return toPage(found, query.limit, auditJson)
    },
  )

  app.post(
    `${API}/audit/check`,
    {
      ...needs('admin'),
      schema: { tags, summary: 'Whether the chain of hashes is whole', response: { 200: auditCheck } },
    },
    async () => await verifyAudit(db),
  )
}
