// The HTTP side: health checks, the status page, the raw queues. It opens no mail connection.

import fastify, { type FastifyInstance } from 'fastify'
import { errorCode, UserError } from '../base/failure.ts'
import { atMost, type Clock } from '../base/clock.ts'
import type { Config } from '../base/config.ts'
import type { Logger } from '../base/logger.ts'
import type { Db } from '../db/database.ts'
import { readRunway } from '../db/runway.ts'
import { runwayOf, runwaySection } from '../health/runway.ts'
import type { Net } from '../net/net.ts'
import type { Vault } from '../secrets/vault.ts'
import { requireMigrated } from '../db/migrate.ts'
import { readStatus } from '../db/status.ts'
import { overviewOf } from '../health/overview.ts'
import { yesterdayEvening } from '../health/phrases.ts'
import { QUEUE_NAMES, type QueueFactory } from '../jobs/queues.ts'
import { Access, loadPassword } from './access.ts'
import { addClassify } from './classify.ts'
import { chooseLanguage } from './language.ts'
import { addCalendar, addMetrics } from './metrics.ts'
import { addQueueBoard } from './queue-board.ts'
import { addSignIn } from './sign-in.ts'
import { PAGE_POLICY, STATUS_CSS, statusPage } from './status-page.ts'

const CLOSE_MS = 3_000

export interface ApiOptions {
  readonly config: Config
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
  stop(): Promise<void>
}

export async function startApi(o: ApiOptions): Promise<Api> {
  const { password, file } = loadPassword(o.config.dataFolder)
  const access = new Access(password)
  const queues = QUEUE_NAMES.map((name) => o.queues.queue(name))
  const app = fastify({ bodyLimit: 64 * 1024, requestTimeout: 30_000, forceCloseConnections: true })
  app.addHook('onSend', async (_request, reply) => {
    void reply.headers({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    })
  })
  app.setErrorHandler(async (error, request, reply) => {
    const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
    if (status >= 400 && status < 500)
      return await reply.code(status).type('text/plain').send('The request was not understood.\n')
    o.log.error({ err: error, path: request.url }, 'a request failed')
    return await reply.code(500).type('text/plain').send('Something went wrong; the log says what.\n')
  })
  addHealthChecks(app, o)
  addStatusPage(app, o, access, file)
  addClassify(app, access)
  addSignIn(app, o)
  addMetrics(app, access, o)
  addCalendar(app, access, o)
  await addQueueBoard(app, queues, access)
  const { host, port } = o.config.http
  try {
    await app.listen({ host, port })
  } catch (error) {
    await Promise.all(queues.map((queue) => queue.close()))
    const why =
      errorCode(error) === 'EADDRINUSE' ? 'is in use by another program' : `cannot be listened on (${errorCode(error)})`
    throw new UserError(`POSTSTELLE_HTTP: ${host}:${port} ${why}`, { cause: error })
  }
  const address = app.server.address()
  const actual = typeof address === 'object' && address ? address.port : port
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}/`,
    stop: async () => {
      await app.close()
      await atMost(CLOSE_MS, Promise.all(queues.map((queue) => queue.close())))
    },
  }
}

function addHealthChecks(app: FastifyInstance, o: ApiOptions): void {
  app.get('/livez', async () => ({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
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

function addStatusPage(app: FastifyInstance, o: ApiOptions, access: Access, queuePasswordFile: string): void {
  app.get('/status.css', async (_request, reply) => await reply.type('text/css').send(STATUS_CSS))
  app.get<{ Querystring: { lang?: string } }>('/', { onRequest: access.page }, async (request, reply) => {
    const language = chooseLanguage(request.query.lang, request.headers['accept-language'])
    const now = o.clock.now()
    const page = statusPage({
      overview: overviewOf(await readStatus(o.db, yesterdayEvening(now)), language, now, [
        runwaySection(runwayOf(await readRunway(o.db), now), language),
      ]),
      language,
      now,
      version: o.version,
      queuePasswordFile,
    })
    return await reply.type('text/html; charset=utf-8').header('content-security-policy', PAGE_POLICY).send(page)
  })
}
