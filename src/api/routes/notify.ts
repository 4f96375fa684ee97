// Who is told of what happens: web hooks, mail over a relay of its own, heartbeats; and what became of their deliveries.

import { z } from 'zod'
import { hostCheck } from '../../accounts/host-check.ts'
import { later } from '../../base/clock.ts'
import { idParams, pageQuery, problem, toPage } from '../../contract/basics.ts'
import { deliveryJson, deliveryPage, newTarget, target, targetJson, targetMade } from '../../contract/notify.ts'
import { audit } from '../../db/audit.ts'
import {
  addDelivery,
  createTarget,
  deleteTarget,
  listDeliveries,
  listTargets,
  loadTarget,
  replayDelivery,
  setTargetSecret,
  switchTarget,
  type NotifyTarget,
} from '../../db/notify.ts'
import { OVERLAP_MS, previousPlace, secretPlace } from '../../notify/deliver.ts'
import { newWebhookSecret } from '../../notify/webhook.ts'
import { API, type ApiContext, type App } from '../context.ts'
import { needs, whoOf } from '../guard.ts'
import { Refused } from '../problems.ts'

const tags = ['notices']
const NOTHING = z.null()

export function addNotifyRoutes(app: App, ctx: ApiContext): void {
  const { db, vault } = ctx
  const found = async (id: number): Promise<NotifyTarget> => {
    const one = await loadTarget(db, id)
    if (!one) throw new Refused('not_found')
    return one
  }
  const checkHost = hostCheck(ctx.config.egressAllow)
  const check = (host: string): void => {
    const refused = checkHost(host)
    if (refused !== undefined)
      throw new Refused('invalid_request', '', { fields: [{ field: 'address', message: refused }] })
  }

  // which programs may run says whoever runs the machine, and nobody over the network
  const checkCommand = (name: string): void => {
    if (!ctx.config.notifyCommands.has(name))
      throw new Refused('invalid_request', '', {
        fields: [{ field: 'address', message: `POSTSTELLE_NOTIFY_COMMANDS does not name "${name}"` }],
      })
  }

  app.get(
    `${API}/notify/commands`,
    {
      ...needs('admin'),
      schema: { tags, summary: 'The commands that notices may be given to', response: { 200: z.array(z.string()) } },
    },
    async () => [...ctx.config.notifyCommands.keys()],
  )

  app.get(
    `${API}/notify`,
    { ...needs('reader'), schema: { tags, summary: 'Who is told', response: { 200: z.array(target) } } },
    async () => (await listTargets(db)).map(targetJson),
  )

  app.post(
    `${API}/notify`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Tell somebody; the secret of a web hook is shown this once',
        body: newTarget,
        response: { 201: targetMade, 400: problem },
      },
    },
    async (request, reply) => {
      const given = request.body
      if (given.kind === 'command') checkCommand(given.address)
      else
        check(
          given.kind === 'mail'
            ? given.address.replace(/:\d+$/, '')
            : new URL(given.address).hostname.replace(/^\[|\]$/g, ''),
        )
      const secret = given.kind === 'webhook' ? newWebhookSecret() : null
      const id = await db.transaction().execute(async (tx) => {
        const made = await createTarget(tx, {
          kind: given.kind,
          label: given.label,
          address: given.address,
          settings: given.kind === 'mail' ? { security: given.security, from: given.from, to: given.to } : {},
          events: given.kind === 'heartbeat' ? [] : given.events,
          language: given.kind === 'heartbeat' ? 'en' : given.language,
          patienceMinutes: given.kind === 'heartbeat' ? 0 : given.patience_minutes,
          digest: given.kind === 'heartbeat' ? false : given.digest,
        })
        const sealed =
          given.kind === 'mail' && given.username !== undefined
            ? JSON.stringify({ username: given.username, password: given.password ?? '' })
            : secret
        if (sealed !== null) await setTargetSecret(tx, made, vault.seal(sealed, secretPlace(made)))
        await audit(tx, whoOf(request).actor, {
          action: 'target of notices made',
          object: `notify ${made}`,
          details: { kind: given.kind, address: given.address },
        })
        return made
      })
      return await reply.code(201).send({ ...targetJson(await found(id)), secret })
    },
  )

  app.post(
    `${API}/notify/:id/secret`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'A new secret; the old one signs as well for a day',
        params: idParams,
        response: { 200: targetMade, 409: problem },
      },
    },
    async (request) => {
      const one = await found(request.params.id)
      if (one.kind !== 'webhook' || one.secretSealed === null) throw new Refused('conflict', 'only web hooks have one')
      const secret = newWebhookSecret()
      const old = vault.seal(vault.open(one.secretSealed, secretPlace(one.id)), previousPlace(one.id))
      await setTargetSecret(db, one.id, vault.seal(secret, secretPlace(one.id)), {
        old,
        until: later(ctx.clock.now(), OVERLAP_MS),
      })
      await audit(db, whoOf(request).actor, { action: 'secret of a web hook replaced', object: `notify ${one.id}` })
      return { ...targetJson(one), secret }
    },
  )

  app.patch(
    `${API}/notify/:id`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Switch it off, or on again',
        params: idParams,
        body: z.strictObject({ enabled: z.boolean() }),
        response: { 200: NOTHING, 404: problem },
      },
    },
    async (request) => {
      const { id } = await found(request.params.id)
      await switchTarget(
        db,
        id,
        request.body.enabled,
        request.body.enabled ? null : `switched off by ${whoOf(request).actor.name}`,
      )
      await audit(db, whoOf(request).actor, {
        action: request.body.enabled ? 'notices switched on' : 'notices switched off',
        object: `notify ${id}`,
      })
      return null
    },
  )

  app.delete(
    `${API}/notify/:id`,
    {
      ...needs('admin'),
      schema: { tags, summary: 'Tell them no more', params: idParams, response: { 200: NOTHING, 404: problem } },
    },
    async (request) => {
      if (!(await deleteTarget(db, request.params.id))) throw new Refused('not_found')
      await audit(db, whoOf(request).actor, {
        action: 'target of notices deleted',
        object: `notify ${request.params.id}`,
      })
      return null
    },
  )

  app.post(
    `${API}/notify/:id/test`,
    {
      ...needs('operator'),
      schema: {
        tags,
        summary: 'Tell it something, to see whether it arrives',
        params: idParams,
        response: { 202: z.object({ delivery: z.int() }), 404: problem },
      },
    },
    async (request, reply) => {
      const { id } = await found(request.params.id)
      const delivery = await addDelivery(db, id, {
        type: 'test',
        payload: { subject: '[Poststelle] Test', body: `${ctx.publicUrl}/\n` },
      })
      await audit(db, whoOf(request).actor, { action: 'notices tested', object: `notify ${id}` })
      return await reply.code(202).send({ delivery })
    },
  )

  app.get(
    `${API}/notify/:id/deliveries`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'What it was told, newest first',
        params: idParams,
        querystring: z.object(pageQuery),
        response: { 200: deliveryPage, 404: problem },
      },
    },
    async ({ params, query }) => {
      const { id } = await found(params.id)
      const rows = await listDeliveries(db, id, {
        limit: query.limit + 1,
        before: query.cursor === undefined ? undefined : Number(query.cursor),
      })
      return toPage(rows, query.limit, deliveryJson)
    },
  )

  app.post(
    `${API}/notify/:id/deliveries/:delivery/replay`,
    {
      ...needs('operator'),
      schema: {
        tags,
        summary: 'Once more, under the same id',
        params: idParams.extend({ delivery: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) }),
        response: { 202: NOTHING, 404: problem },
      },
    },
    async (request, reply) => {
      const { id, delivery } = request.params
      if (!(await replayDelivery(db, id, delivery))) throw new Refused('not_found')
      await audit(db, whoOf(request).actor, {
        action: 'notice replayed',
        object: `notify ${id}`,
        details: { delivery },
      })
      return await reply.code(202).send(null)
    },
  )
}
