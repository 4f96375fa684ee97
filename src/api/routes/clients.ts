// App registrations: their secrets, never shown, and until when they last.

import { z } from 'zod'
import {
  setClientLabel,
  setSecretExpiry,
  findClient,
  listClients,
  storeNextSecret,
  type ClientDetails,
} from '../../db/client-secrets.ts'
import { client, clientJson } from '../../contract/clients.ts'
import { idParams, problem } from '../../contract/basics.ts'
import { proveNextSecret } from '../../credentials/client-secret.ts'
import { fingerprintOf } from '../../credentials/fingerprint.ts'
import { sealClientProof } from '../../credentials/sealed.ts'
import { exchangeScriptOf } from '../../accounts/exchange-script.ts'
import { asWorker } from '../../db/as-worker.ts'
import { audit } from '../../db/audit.ts'
import { UserError } from '../../base/failure.ts'
import { explain } from '../../failures/catalogue.ts'
import { API, type ApiContext, type App } from '../context.ts'
import { needs, whoOf } from '../guard.ts'
import { languageOf } from '../language.ts'
import { Refused } from '../problems.ts'

const tags = ['app registrations']
const day = z.iso.date('is not a date like 2027-11-30').nullable()
const secretAnswer = z.object({
  state: z.enum(['promoted', 'refused', 'unproven', 'waiting']),
  accounts: z.int(),
  flag: z.string().nullable(),
  label: z.string().nullable(),
  evidence: z.string().nullable(),
})

export function addClientRoutes(app: App, ctx: ApiContext): void {
  const { db, vault } = ctx
  const found = async (id: number): Promise<ClientDetails> => {
    try {
      return await findClient(db, String(id))
    } catch (error) {
      throw error instanceof UserError ? new Refused('not_found') : error
    }
  }
  const json = (of: ClientDetails): z.infer<typeof client> => {
    let fingerprint: string | null = null
    try {
      fingerprint = fingerprintOf(vault, of)
    } catch (error) {
      if (!(error instanceof UserError)) throw error // what cannot be opened is flagged elsewhere
    }
    return clientJson(of, fingerprint)
  }

  app.get(
    `${API}/clients`,
    { ...needs('reader'), schema: { tags, summary: 'All app registrations', response: { 200: z.array(client) } } },
    async () => (await listClients(db)).map(json),
  )

  app.patch(
    `${API}/clients/:id`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Name it, or tell when its secret expires',
        params: idParams,
        body: z.strictObject({
          label: z
            .string()
            .trim()
            .min(1)
            .max(200)
            .regex(/^\P{Cc}*$/u, 'has control characters')
            .optional(),
          secret_expires_on: day.optional(),
        }),
        response: { 200: client, 404: problem },
      },
    },
    async (request) => {
      const { id } = await found(request.params.id)
      const { label, secret_expires_on: on } = request.body
      await db.transaction().execute(async (tx) => {
        if (label !== undefined) await setClientLabel(tx, id, label)
        if (on !== undefined) await setSecretExpiry(tx, id, on === null ? null : new Date(`${on}T00:00:00Z`))
        await audit(tx, whoOf(request).actor, {
          action: 'app registration changed',
          object: `client ${id}`,
          details: request.body,
        })
      })
      return json(await found(id))
    },
  )

  app.post(
    `${API}/clients/:id/secret`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Give a new secret: it is proven by a token request, and only then takes the place of the old one',
        params: idParams,
        body: z.strictObject({
          secret: z
            .string()
            .min(1, 'is empty')
            .max(20_000)
            .regex(/^[^\r\n\0]*$/, 'contains a line break'),
          expires_on: day.default(null),
          later: z.boolean().default(false),
        }),
        response: { 200: secretAnswer, 404: problem },
      },
    },
    async (request) => {
      const { id, accounts } = await found(request.params.id)
      const { secret, expires_on: on, later } = request.body
      const sealed = sealClientProof(vault, id, { kind: 'secret', secret }, 'next_secret')
      if (sealed !== null)
        await storeNextSecret(db, id, {
          kind: 'secret',
          sealed,
          expiresAt: on === null ? null : new Date(`${on}T00:00:00Z`),
        })
      await audit(db, whoOf(request).actor, {
        action: 'client secret given',
        object: `client ${id}`,
        details: { expires_on: on },
      })
      if (later || accounts === 0)
        return { state: 'waiting' as const, accounts: 0, flag: null, label: null, evidence: null }
      const outcome = await asWorker(ctx, (workerId) =>
        proveNextSecret({ ...ctx, workerId, command: true }, id, { attempts: 2, waitMs: 10_000 }),
      )
      const failure = outcome.kind === 'promoted' ? undefined : outcome.failure
      return {
        state: outcome.kind,
        accounts: outcome.kind === 'promoted' ? outcome.accounts : 0,
        flag: failure?.flag ?? null,
        label: failure ? explain(failure.flag, languageOf(request)).label : null,
        evidence: failure?.evidence ?? null,
      }
    },
  )

  app.delete(
    `${API}/clients/:id/next-secret`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Forget the secret that waits',
        params: idParams,
        response: { 200: z.null(), 409: problem },
      },
    },
    async (request) => {
      const { id, next } = await found(request.params.id)
      if (!next) throw new Refused('conflict', 'no secret waits')
      await storeNextSecret(db, id, null)
      await audit(db, whoOf(request).actor, { action: 'waiting client secret forgotten', object: `client ${id}` })
      return null
    },
  )

  app.get(
    `${API}/clients/:id/powershell`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'The Exchange commands that let it into its mailboxes',
        params: idParams,
        response: { 200: z.object({ script: z.string() }), 422: problem },
      },
    },
    async ({ params }) => ({ script: await exchangeScriptOf(ctx, await found(params.id)) }),
  )
}
