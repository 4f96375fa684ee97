// The HTTP side: pages, interface, health checks, metrics, the raw queues. It opens no mail connection but through the connection test.

import cookie from '@fastify/cookie'
import fastify, { type FastifyInstance } from 'fastify'
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod'
import swagger from '@fastify/swagger'
import { DAY_MS, atMost, type Clock } from '../base/clock.ts'
import { publicUrl as publicUrlOf, type Config } from '../base/config.ts'
import { errorCode, UserError } from '../base/failure.ts'
import type { Logger } from '../base/logger.ts'
import { unfinishedRuns } from '../db/bulk-runs.ts'
import type { Database, Db } from '../db/database.ts'
import { requireMigrated } from '../db/migrate.ts'
import { anyOperator, createInvitation } from '../db/operators.ts'
import { sweepSessions } from '../db/sessions.ts'
import { QUEUE_NAMES, type QueueFactory } from '../jobs/queues.ts'
import type { Net } from '../net/net.ts'
import { newToken, tokenHash } from '../secrets/token.ts'
import type { Vault } from '../secrets/vault.ts'
import { addClassify } from './classify.ts'
import type { ApiContext, App } from './context.ts'
import { Guard, needs } from './guard.ts'
import { Live } from './live.ts'
import { addCalendar, addMetrics } from './metrics.ts'
import { Refused, sendProblem } from './problems.ts'
import { addQueueBoard } from './queue-board.ts'
import { addAccountRoutes } from './routes/accounts.ts'
import { addClientRoutes } from './routes/clients.ts'
import { addConnectionRoutes } from './routes/connection.ts'
import { addInboxRoutes } from './routes/inbox.ts'
import { addNotifyRoutes } from './routes/notify.ts'
import { addOutboxRoutes, work } from './routes/outbox.ts'
import { addOverviewRoutes } from './routes/overview.ts'
import { addPeopleRoutes } from './routes/people.ts'
import { addSessionRoutes } from './routes/session.ts'
import { addRetentionRoutes } from './routes/retention.ts'
import { addSystemRoutes } from './routes/system.ts'
import { addSignIn } from './sign-in.ts'
import { addWeb } from './web.ts'

const CLOSE_MS = 3_000
const BODY_BYTES = 256 * 1024
const SET_UP_MS = DAY_MS

export interface ApiOptions {
  readonly config: Config
  readonly databaseUrl: string
  readonly database: Database
  readonly db: Db
  readonly vault: Vault
  readonly net: Net
  readonly queues: QueueFactory
  readonly clock: Clock
  readonly log: Logger
  readonly version: string
}

export interface Api {
  readonly url: string
  /** A one-time link, where nobody can log in yet. */
  readonly setUpUrl: string | undefined
  stop(): Promise<void>
}

export async function startApi(o: ApiOptions): Promise<Api> {
  const laneQueues = QUEUE_NAMES.map((name) => o.queues.queue(name))
  const live = new Live(o.db, o.log)
  const { host, port } = o.config.http
  const raw = fastify({
    bodyLimit: BODY_BYTES,
    requestTimeout: 120_000,
    forceCloseConnections: true,
    trustProxy: 'loopback',
  })
  const ctx: ApiContext = { ...o, laneQueues, live, publicUrl: publicUrlOf(o.config) }
  const app = await buildApp(raw, ctx)
  try {
    await app.listen({ host, port })
  } catch (error) {
    await app.close()
    throw new UserError(`POSTSTELLE_HTTP: ${host}:${port} cannot be listened on (${errorCode(error)})`, {
      cause: error,
    })
  }
  const address = app.server.address()
  const actualPort = typeof address === 'object' && address !== null ? address.port : port
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}/`
  await sweepSessions(o.db)
  for (const id of await unfinishedRuns(o.db)) work(ctx, id)
  return {
    url,
    setUpUrl: await setUpLink(o, o.config.publicUrl === undefined ? url.replace(/\/$/, '') : ctx.publicUrl),
    stop: async () => {
      live.close()
      await app.close()
      await atMost(CLOSE_MS, Promise.all(laneQueues.map((queue) => queue.close())))
    },
  }
}

/** The whole of it without a socket: tests look at its routes. */
export async function buildApp(raw: FastifyInstance, ctx: ApiContext): Promise<App> {
  const app = raw.withTypeProvider<ZodTypeProvider>() as App
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.decorateRequest('who', undefined)
  await app.register(cookie)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Poststelle', version: ctx.version, description: 'The mail room of business software.' },
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer' },
          session: { type: 'apiKey', in: 'cookie', name: '__Host-poststelle' },
        },
      },
      security: [{ token: [] }, { session: [] }],
    },
    transform: jsonSchemaTransform,
  })
  app.addHook('onRoute', (route) => {
    // whoever forgets to say who may is found at the start, and not by a visitor
    if (route.config?.needs === undefined && !isForeign(route.url)) throw new Error(`${route.url} does not say who may`)
  })
  const guard = new Guard(ctx.db)
  app.addHook('onRequest', async (request, reply) => {
    try {
      await guard.check(request)
    } catch (error) {
      // not left to the route: the board has a way of its own with errors
      return sendProblem(ctx.log, error, request, reply)
    }
    return undefined
  })
  app.addHook('onSend', async (_request, reply) => {
    void reply.headers({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
    })
    if (!reply.hasHeader('cache-control')) void reply.header('cache-control', 'no-store')
    if (!reply.hasHeader('content-security-policy'))
      void reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
  })
  app.setErrorHandler((error, request, reply) => sendProblem(ctx.log, error, request, reply))
  app.setNotFoundHandler((request, reply) => sendProblem(ctx.log, new Refused('not_found'), request, reply))
  addHealth(app, ctx)
  addSessionRoutes(app, ctx)
  addPeopleRoutes(app, ctx)
  addOverviewRoutes(app, ctx)
  addAccountRoutes(app, ctx)
  addConnectionRoutes(app, ctx)
  addClientRoutes(app, ctx)
  addInboxRoutes(app, ctx)
  addOutboxRoutes(app, ctx)
  addSystemRoutes(app, ctx)
  addRetentionRoutes(app, ctx)
  addNotifyRoutes(app, ctx)
  addClassify(app)
  addSignIn(app, ctx)
  addMetrics(app, ctx)
  addCalendar(app, ctx)
  app.get('/api/openapi.json', { ...needs('reader'), schema: { hide: true } }, async () => app.swagger())
  await addQueueBoard(app, ctx.laneQueues)
  await addWeb(app, ctx)
  return app
}

/** Routes of plugins; the guard of their scope stands before them. */
const isForeign = (url: string): boolean => url.startsWith('/queues') || url.startsWith('/assets/')

function addHealth(app: App, o: ApiContext): void {
  app.get('/livez', { ...needs('public'), schema: { hide: true } }, async () => ({ status: 'ok' }))
  app.get('/readyz', { ...needs('public'), schema: { hide: true } }, async (_request, reply) => {
    try {
      await requireMigrated(o.db)
      return { status: 'ok' }
    } catch (error) {
      o.log.warn({ err: error }, 'not ready')
      return await reply.code(503).send({
        status: 'not ready',
        reason: error instanceof UserError ? error.message : 'the database does not answer',
      })
    }
  })
}

/** A new one with every start until somebody has used it: no password is there from the beginning. */
async function setUpLink({ db }: ApiOptions, base: string): Promise<string | undefined> {
  if (await anyOperator(db)) return undefined
  const token = newToken()
  await createInvitation(db, { tokenHash: tokenHash(token), operatorId: null, lifeMs: SET_UP_MS })
  // behind the #, which no server and no log gets to see
  return `${base}/setup#${token}`
}
