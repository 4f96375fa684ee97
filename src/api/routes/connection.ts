// The live connection test, its history, and signing in: what reaches out to a provider because somebody clicked.

import { z } from 'zod'
import { probeAccount } from '../../accounts/probe.ts'
import { differences, type StepReport } from '../../accounts/probe-steps.ts'
import { stepTitle } from '../../accounts/step-titles.ts'
import { DAY_MS } from '../../base/clock.ts'
import { redirectUri } from '../../base/config.ts'
import { signInAnswer, storedTest, type TestStepJson } from '../../contract/accounts.ts'
import { idParams, iso, language as lang, problem } from '../../contract/basics.ts'
import { beginByBrowser, beginByLink, finishByBrowser, requireSignIn } from '../../credentials/sign-in.ts'
import { listTests } from '../../db/account-tests.ts'
import { loadAccount, type Account } from '../../db/accounts.ts'
import { asWorker } from '../../db/as-worker.ts'
import { audit } from '../../db/audit.ts'
import { explain } from '../../failures/catalogue.ts'
import type { Language } from '../../health/phrases.ts'
import { API, type ApiContext, type App } from '../context.ts'
import { needs, whoOf } from '../guard.ts'
import { languageOf } from '../language.ts'
import { Refused } from '../problems.ts'

const LINK_DAYS = 7
const tags = ['accounts']

export function addConnectionRoutes(app: App, ctx: ApiContext): void {
  const { db } = ctx
  const found = async (id: number): Promise<Account> => {
    const account = await loadAccount(db, id)
    if (!account) throw new Refused('not_found')
    return account
  }

  app.post(
    `${API}/accounts/:id/test`,
    {
      ...needs('operator'),
      schema: {
        tags,
        summary: 'Test the connection; one JSON object per step as it ends (application/x-ndjson), the outcome last',
        params: idParams,
        querystring: z.object({ lang }),
        body: z.strictObject({ read_one: z.boolean().default(false), round_trip: z.boolean().default(false) }),
      },
    },
    async (request, reply) => {
      const account = await found(request.params.id)
      const language = languageOf(request)
      const { read_one: readOne, round_trip: roundTrip } = request.body
      const [before] = await listTests(db, account.id)
      await audit(db, whoOf(request).actor, { action: 'connection tested', object: `account ${account.id}` })
      reply.hijack()
      reply.raw.writeHead(200, {
        'content-type': 'application/x-ndjson; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
        'x-content-type-options': 'nosniff',
      })
      const say = (value: unknown): void => void reply.raw.write(`${JSON.stringify(value)}\n`)
      try {
        const steps: StepReport[] = []
        await asWorker(ctx, async (workerId) => {
          for await (const step of probeAccount({ ...ctx, workerId }, account, { readOne, roundTrip })) {
            steps.push(step)
            say({ kind: 'step', ...stepJson(step, language) })
          }
        })
        const changed = before ? differences(before.steps as StepReport[], steps) : []
        say({
          kind: 'end',
          before: before ? iso(before.at) : null,
          changed: changed.map(({ step, was }) => ({
            title: stepTitle(step, language),
            was: was.state,
            now: step.state,
          })),
        })
      } catch (error) {
        ctx.log.error({ err: error, account_id: account.id }, 'a connection test broke off')
        say({ kind: 'broken' })
      } finally {
        reply.raw.end()
      }
    },
  )

  app.get(
    `${API}/accounts/:id/tests`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'Its connection tests, the latest first',
        params: idParams,
        querystring: z.object({ lang }),
        response: { 200: z.array(storedTest) },
      },
    },
    async (request) =>
      (await listTests(db, request.params.id)).map(({ id, at, outcome, steps }) => ({
        id,
        at: iso(at),
        outcome,
        steps: (steps as StepReport[]).map((step) => stepJson(step, languageOf(request))),
      })),
  )

  app.post(
    `${API}/accounts/:id/sign-in`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Begin a sign-in by browser; the address is good for ten minutes',
        params: idParams,
        response: { 200: signInAnswer, 422: problem },
      },
    },
    async (request) => {
      const account = requireSignIn(await found(request.params.id))
      const { url, expiresAt } = await beginByBrowser(ctx, account, redirectUri(ctx.config))
      await audit(db, whoOf(request).actor, { action: 'sign-in begun', object: `account ${account.id}` })
      return { url, expires_at: iso(expiresAt) }
    },
  )

  app.post(
    `${API}/accounts/:id/sign-in/link`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'A link for the owner of the mailbox, good once and for a week',
        params: idParams,
        response: { 200: signInAnswer, 422: problem },
      },
    },
    async (request) => {
      const account = requireSignIn(await found(request.params.id))
      const { secret, expiresAt } = await beginByLink(ctx, account, LINK_DAYS * DAY_MS)
      await audit(db, whoOf(request).actor, { action: 'sign-in link made', object: `account ${account.id}` })
      return { url: `${ctx.publicUrl}/sign-in/${secret}`, expires_at: iso(expiresAt) }
    },
  )

  app.post(
    `${API}/sign-in/paste`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Finish a sign-in by the address that the browser came back to',
        body: z.strictObject({ address: z.url().max(10_000) }),
        response: { 200: z.object({ account: z.string(), identity: z.string().nullable() }), 502: problem },
      },
    },
    async (request) => {
      const { account, identity } = await finishByBrowser(ctx, new URL(request.body.address).searchParams)
      await audit(db, whoOf(request).actor, {
        action: 'signed in at the provider',
        object: `account ${account.id}`,
        details: { identity },
      })
      return { account: account.email, identity: identity ?? null }
    },
  )
}

function stepJson(step: StepReport, language: Language): TestStepJson {
  const { nextTryAt, flag } = step
  const shown = flag !== null && step.state !== 'ok' ? explain(flag, language) : null
  return {
    step: step.step,
    name: step.name,
    title: stepTitle(step, language),
    side: step.side,
    state: step.state,
    ms: step.ms,
    evidence: step.evidence,
    flag,
    next_try_at: nextTryAt,
    remedy: shown && {
      label: shown.label,
      meaning: shown.meaning,
      actor: shown.actor,
      steps: [...shown.steps],
      link: shown.link,
    },
  }
}
