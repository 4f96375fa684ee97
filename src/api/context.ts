// What the routes work with.

import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Clock } from '../base/clock.ts'
import type { Config } from '../base/config.ts'
import type { Logger } from '../base/logger.ts'
import type { Database, Db } from '../db/database.ts'
import type { LaneQueue, QueueFactory } from '../jobs/queues.ts'
import type { Net } from '../net/net.ts'
import type { Vault } from '../secrets/vault.ts'
import type { Live } from './live.ts'

export interface ApiContext {
  readonly config: Config
  readonly databaseUrl: string
  readonly database: Database
  readonly db: Db
  readonly vault: Vault
  readonly net: Net
  readonly clock: Clock
  readonly log: Logger
  readonly version: string
  readonly queues: QueueFactory
  readonly laneQueues: readonly LaneQueue[]
  readonly live: Live
  /** As browsers reach it, without a slash at the end. */
  readonly publicUrl: string
}

export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodTypeProvider>

export const API = '/api/v1'
