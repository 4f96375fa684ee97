// Accounts: the list, one of them with its health, settings, and what an operator does to it.

import { z } from 'zod'
import type { FastifyRequest } from 'fastify'
import { accountFile, clientFields, laidOver, type AccountFile } from '../../accounts/account-file.ts'
import { WIZARD_PRESETS } from '../../accounts/wizard-presets.ts'
import { hostCheck } from '../../accounts/host-check.ts'
import { importAccounts, type ImportedAccount } from '../../accounts/import.ts'
import { parseAccounts } from '../../accounts/settings.ts'
import { DAY_MS, later } from '../../base/clock.ts'
import { UserError } from '../../base/failure.ts'
import {
  accountCardJson,
  accountDetail,
  accountHealth,
  accountPage,
  deleteRequest,
  healthEventJson,
  importAnswer,
  importRequest,
  pauseRequest,
  preset,
  uidlDecision,
} from '../../contract/accounts.ts'
import { filterText, idParams, iso, language as lang, pageQuery, problem } from '../../contract/basics.ts'
import { accountFilterOf } from '../../contract/filter.ts'
import { inLanguage } from '../../contract/german.ts'
import { deleteAccount, healthEvents, listCards, loadCard, switchLane } from '../../db/account-views.ts'
import { loadAccount, type Account } from '../../db/accounts.ts'
import { audit } from '../../db/audit.ts'
import { listClients } from '../../db/client-secrets.ts'
import { loadGrant } from '../../db/grants.ts'
import { lockLanes, wakeNow } from '../../db/lanes.ts'
import { loadMaildrop } from '../../db/maildrops.ts'
import { decideGuard } from '../../db/renumbering.ts'
import { explain } from '../../failures/catalogue.ts'
import { accountDetailOf } from '../account-detail.ts'
import { API, type ApiContext, type App } from '../context.ts'
import { needs, whoOf } from '../guard.ts'
import { requireMatch } from '../if-match.ts'
import { languageOf } from '../language.ts'
import { Refused } from '../problems.ts'

const NOTHING = z.null()
const tags = ['accounts']

export function addAccountRoutes(app: App, ctx: ApiContext): void {
  const { db, clock } = ctx
  const labelOf = (request: FastifyRequest) => (flag: string) => explain(flag, languageOf(request)).label

  app.get(
    `${API}/accounts`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'Accounts, those in trouble first',
        querystring: z.object({ ...pageQuery, filter: filterText, lang }),
        response: { 200: accountPage, 422: problem },
      },
    },
    async (request) => {
      const { filter, limit, cursor } = request.query
      const offset = Number(cursor ?? 0)
      const { cards, total } = await listCards(db, accountFilterOf(filter), { offset, limit })
      const end = offset + cards.length
      return {
        items: cards.map((card) => accountCardJson(card, labelOf(request))),
        next: end < total ? String(end) : null,
        total,
      }
    },
  )

  app.get(
    `${API}/accounts/:id`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'One account',
        params: idParams,
        querystring: z.object({ lang }),
        response: { 200: accountDetail, 404: problem },
      },
    },
    async (request, reply) => {
      const detail = await accountDetailOf(ctx, request.params.id, languageOf(request))
      if (!detail) throw new Refused('not_found')
      return await reply.header('etag', `"${detail.etag}"`).send(detail)
    },
  )

  app.get(
    `${API}/accounts/:id/health`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'What its lanes were like',
        params: idParams,
        querystring: z.object({ days: z.coerce.number().int().min(1).max(90).default(1), lang }),
        response: { 200: accountHealth, 404: problem },
      },
    },
    async (request) => {
      const { id } = request.params
      if (!(await loadCard(db, id))) throw new Refused('not_found')
      const now = clock.now()
      const since = later(now, -request.query.days * DAY_MS)
      const events = await healthEvents(db, id, since)
      return {
        since: iso(since),
        until: iso(now),
        events: events.map((event) => healthEventJson(event, labelOf(request))),
      }
    },
  )

  app.get(
    `${API}/presets`,
    {
      ...needs('reader'),
      schema: { tags, summary: 'Settings of providers that are known', response: { 200: z.array(preset) } },
    },
    async () => [...WIZARD_PRESETS],
  )

  addSettingsRoutes(app, ctx)
  addActions(app, ctx)
}

function addSettingsRoutes(app: App, ctx: ApiContext): void {
  const { db, vault } = ctx

  const save = async (
    request: FastifyRequest,
    files: readonly AccountFile[],
    dryRun: boolean,
  ): Promise<readonly ImportedAccount[]> => {
    const accounts = fieldsRefused(() =>
      parseAccounts(JSON.stringify(files), 'accounts', hostCheck(ctx.config.egressAllow)),
    )
    const imported = await importAccounts({ db, vault }, accounts, { dryRun })
    const { actor } = whoOf(request)
    if (!dryRun)
      for (const { id, email, change } of imported)
        if (change !== 'unchanged')
          await audit(db, actor, { action: `account ${change}`, object: `account ${id}`, details: { email } })
    return imported
  }

  app.post(
    `${API}/accounts`,
    {
      ...needs('admin'),
      bodyLimit: 16 * 1024 * 1024,
      schema: {
        tags,
        summary: 'Create or change accounts by e-mail address, all or none',
        body: importRequest,
        response: { 200: importAnswer, 422: problem },
      },
    },
    async (request) => {
      const { accounts, dry_run: dryRun } = request.body
      const imported = await save(request, await withApps(ctx, accounts), dryRun)
      return importedJson(request, imported, dryRun)
    },
  )

  app.patch(
    `${API}/accounts/:id`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Change fields of one account; those that are left out stay as they are. If-Match takes the ETag.',
        params: idParams,
        body: z.record(z.string(), z.unknown()),
        response: { 200: importAnswer, 404: problem, 412: problem, 422: problem },
      },
    },
    async (request) => {
      const { id } = request.params
      const account = await loadAccount(db, id)
      if (!account) throw new Refused('not_found')
      await matches(ctx, request, id)
      const file = accountFile(vault, {
        account,
        maildrop: await loadMaildrop(db, id),
        grant: await loadGrant(db, id),
      })
      const [changed = request.body] = await withApps(ctx, [laidOver(file, request.body)])
      const imported = await save(request, [{ ...changed, email: account.email }], false)
      return importedJson(request, imported, false)
    },
  )

  app.post(
    `${API}/accounts/:id/delete`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Delete an account with all its mail; its address is to be typed',
        params: idParams,
        body: deleteRequest,
        response: { 200: NOTHING, 404: problem, 409: problem },
      },
    },
    async (request) => {
      const account = await loadAccount(db, request.params.id)
      if (!account) throw new Refused('not_found')
      if (request.body.confirm.trim().toLowerCase() !== account.email.toLowerCase())
        throw new Refused('invalid_request', '', { fields: [{ field: 'confirm', message: `is not ${account.email}` }] })
      await db.transaction().execute(async (tx) => {
        const outcome = await deleteAccount(tx, account.id)
        if (outcome === 'not_found') throw new Refused('not_found')
        if (outcome === 'mail_waits')
          throw new Refused('conflict', 'mail of this account waits to be sent; cancel it, or let it go first')
        await audit(tx, whoOf(request).actor, {
          action: 'account deleted',
          object: `account ${account.id}`,
          details: { email: account.email },
        })
      })
      return null
    },
  )
}

function addActions(app: App, ctx: ApiContext): void {
  const { db } = ctx
  const found = async (id: number): Promise<Account> => {
    const account = await loadAccount(db, id)
    if (!account) throw new Refused('not_found')
    return account
  }

  app.post(
    `${API}/accounts/:id/poll`,
    {
      ...needs('operator'),
      schema: {
        tags,
        summary: 'Poll its maildrop now; the service does it',
        params: idParams,
        response: { 202: NOTHING, 409: problem },
      },
    },
    async (request, reply) => {
      const account = await found(request.params.id)
      if (!account.pop3) throw new Refused('conflict', 'this account has no POP3 server')
      if (!account.enabledReceive) throw new Refused('conflict', 'receiving is switched off for this account')
      await wakeNow(db, account.id, ['token', 'receive'], { again: true })
      await audit(db, whoOf(request).actor, { action: 'polled by hand', object: `account ${account.id}` })
      return await reply.code(202).send(null)
    },
  )

  app.post(
    `${API}/accounts/:id/pause`,
    {
      ...needs('operator'),
      schema: {
        tags,
        summary: 'Switch a direction off; mail waits',
        params: idParams,
        body: pauseRequest,
        response: { 200: NOTHING },
      },
    },
    async (request) => {
      const account = await found(request.params.id)
      const { actor } = whoOf(request)
      const { direction, reason = null } = request.body
      await db.transaction().execute(async (tx) => {
        await lockLanes(tx, account.id)
        await switchLane(tx, account.id, direction, { by: actor.name, reason })
        await audit(tx, actor, { action: `${direction} paused`, object: `account ${account.id}`, reason })
      })
      return null
    },
  )

  app.post(
    `${API}/accounts/:id/resume`,
    {
      ...needs('operator'),
      schema: {
        tags,
        summary: 'Switch a direction on again',
        params: idParams,
        body: pauseRequest,
        response: { 200: NOTHING },
      },
    },
    async (request) => {
      const account = await found(request.params.id)
      const { direction } = request.body
      await db.transaction().execute(async (tx) => {
        await lockLanes(tx, account.id)
        await switchLane(tx, account.id, direction, null)
        await wakeNow(tx, account.id, [direction], { keepParked: true })
        await audit(tx, whoOf(request).actor, { action: `${direction} resumed`, object: `account ${account.id}` })
      })
      return null
    },
  )

  app.post(
    `${API}/accounts/:id/uidl`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Decide about a mailbox whose messages all have new ids',
        params: idParams,
        body: uidlDecision,
        response: { 200: NOTHING, 409: problem },
      },
    },
    async (request) => {
      const account = await found(request.params.id)
      const { decision, reason } = request.body
      await db.transaction().execute(async (tx) => {
        await lockLanes(tx, account.id)
        if (!(await decideGuard(tx, account.id, decision))) throw new Refused('conflict', 'nothing has to be decided')
        await wakeNow(tx, account.id, ['receive'], { again: true })
        await audit(tx, whoOf(request).actor, {
          action: `renumbering: ${decision}`,
          object: `account ${account.id}`,
          reason,
        })
      })
      return null
    },
  )
}

const importedJson = (request: FastifyRequest, imported: readonly ImportedAccount[], dryRun: boolean) => ({
  dry_run: dryRun,
  accounts: imported.map((one) => ({ ...one, notes: one.notes.map((note) => inLanguage(note, languageOf(request))) })),
})

/** `auth.app`: the app registration of that id, in place of its fields. */
async function withApps(ctx: ApiContext, accounts: readonly AccountFile[]): Promise<AccountFile[]> {
  const clients = new Map((await listClients(ctx.db)).map((client) => [client.id, client]))
  return accounts.map((account) => {
    const { auth } = account as { auth?: { app?: unknown } }
    if (auth === undefined || auth === null || typeof auth !== 'object' || !('app' in auth)) return account
    const { app, ...rest } = auth
    const client = clients.get(Number(app))
    if (!client)
      throw new Refused('invalid_request', '', {
        fields: [{ field: 'auth.app', message: 'is not the id of an app registration' }],
      })
    return { ...account, auth: { ...rest, ...clientFields(ctx.vault, client) } }
  })
}

/** "accounts: account 1 (info@firma.example): pop3.port: is not a port" */
function fieldsRefused<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    const fields = error.message.split('\n').map((line) => {
      const [, field = '', message = line] = /^accounts: account \d+(?: \([^)]*\))?: ([\w.]+): (.*)$/.exec(line) ?? []
      return { field, message }
    })
    throw new Refused('invalid_request', '', { fields })
  }
}

async function matches(ctx: ApiContext, request: FastifyRequest, id: number): Promise<void> {
  if (request.headers['if-match'] !== undefined)
    requireMatch(request, (await accountDetailOf(ctx, id, 'en'))?.etag ?? '')
}
