// Builds the service out of its parts. Everything is handed on as an argument; nothing is global.

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { atMost, shiftedClock, systemClock } from './base/clock.ts'
import { publicUrl, rereadKeys, type Config, type Key } from './base/config.ts'
import { UserError } from './base/failure.ts'
import type { Logger } from './base/logger.ts'
import type { Installation, Role, Service } from './cli/installation.ts'
import { checkKeys } from './credentials/check-keys.ts'
import { checkServer, clockAheadMs, openDatabase } from './db/database.ts'
import { migrateUp, requireMigrated } from './db/migrate.ts'
import { openEmbeddedPostgres, type EmbeddedPostgres } from './embedded/postgres.ts'
import { createNet } from './net/dial.ts'
import { embeddedKeys } from './secrets/key-file.ts'
import { Vault } from './secrets/vault.ts'

export const VERSION = (
  JSON.parse(readFileSync(path.join(import.meta.dirname, '../package.json'), 'utf8')) as { version: string }
).version

const POOL_MAX = 24
const QUIET_MS = 5_000
const CLOSE_MS = 5_000
/** Clocks of machines that keep time differ by less. */
const CLOCKS_DIFFER_MS = 2_000

export interface InstallationOptions {
  /** 'up': missing migrations are applied. 'require': they are an error. 'leave': whoever asks looks himself. */
  readonly migrations: 'up' | 'require' | 'leave'
  /** The embedded server must be ours, not one that another command has started. */
  readonly exclusive?: boolean
  /** A command that only looks does not make an installation. */
  readonly existing?: boolean
}

/** Opens database, key ring and network; the embedded Postgres where no DATABASE_URL is set. Throws UserError. */
export async function openInstallation(
  config: Config,
  log: Logger,
  options: InstallationOptions,
): Promise<Installation> {
  const embedded = config.databaseUrl === undefined ? await openEmbedded(config, options) : undefined
  const databaseUrl = config.databaseUrl ?? embedded?.url ?? ''
  const database = openDatabase(databaseUrl, {
    max: POOL_MAX,
    onIdleError: notTwice((message) => log.warn(`a database connection broke: ${message}`)),
  })
  const net = createNet({
    allowPrivate: config.egressAllow,
    ...(config.extraCaPem !== undefined && { extraCaPem: config.extraCaPem }),
  })
  const gone = Promise.withResolvers<void>()
  let closing = false
  void embedded?.exited.then(() => {
    if (!closing) gone.resolve()
  })
  const close = async (): Promise<void> => {
    closing = true
    // what hangs at the end must not keep the process: nothing is written any more
    await atMost(CLOSE_MS, net.close())
    await atMost(CLOSE_MS, database.close())
    await embedded?.stop()
  }
  try {
    await checkServer(database.pool)
    // an embedded database is nobody else's: it is always brought up to date
    if (options.migrations === 'up' || (embedded && options.migrations === 'require')) await migrateUp(database.db)
    else if (options.migrations === 'require') await requireMigrated(database.db)
    const aheadMs = await clockAheadMs(database.pool)
    const sameClock = Math.abs(aheadMs) < CLOCKS_DIFFER_MS
    if (!sameClock)
      log.warn({ seconds: Math.round(aheadMs / 1000) }, 'the clock of the database is ahead by that; it is gone by')
    const vault = new Vault(config.keys ?? embeddedKeys(config.dataFolder, systemClock.now()), () =>
      currentKeys(config),
    )
    if (options.migrations !== 'leave') await checkKeys(database.db, vault)
    return {
      config,
      databaseUrl,
      database,
      db: database.db,
      vault,
      net,
      clock: sameClock ? systemClock : shiftedClock(aheadMs),
      log,
      version: VERSION,
      databaseGone: gone.promise,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** A process that runs for months learns of new keys by itself, where they stand in a file. */
function currentKeys(config: Config): readonly Key[] {
  if (config.keys === undefined) return embeddedKeys(config.dataFolder, systemClock.now())
  return rereadKeys() ?? config.keys
}

async function openEmbedded(
  config: Config,
  { exclusive = false, existing = false }: InstallationOptions,
): Promise<EmbeddedPostgres> {
  if (existing && !existsSync(path.join(config.dataFolder, 'postgres'))) {
    throw new UserError(
      `there is no installation in ${config.dataFolder} yet; start one, or name another folder in POSTSTELLE_DATA (that of a demo is <folder>/demo)`,
    )
  }
  const server = await openEmbeddedPostgres(config.dataFolder, exclusive ? { waitForOtherMs: 10_000 } : {})
  if (exclusive && !server.startedHere) {
    throw new UserError(
      `another Poststelle (database process ${server.serverPid}) already runs on ${config.dataFolder}`,
    )
  }
  return server
}

/** Many connections break at once: what was said within the last seconds is not said again. */
function notTwice(say: (message: string) => void): (error: Error) => void {
  const saidAt = new Map<string, number>()
  return ({ message }) => {
    const now = performance.now()
    if (now - (saidAt.get(message) ?? -Infinity) < QUIET_MS) return
    if (saidAt.size > 100) saidAt.clear()
    saidAt.set(message, now)
    say(message)
  }
}

/** Starts the roles of this process. Ends them in reverse order. Loads what only a service needs: commands start faster. */
export async function startService(
  house: Installation,
  roles: ReadonlySet<Role>,
  onStuck: () => void,
): Promise<Service> {
  const { config, log } = house
  const { openQueues } = await import('./jobs/queues.ts')
  const queues = await openQueues(
    { databaseUrl: house.databaseUrl, redisUrl: config.redisUrl },
    notTwice((message) => log.warn(`the queue has trouble: ${message}`)),
  )
  const stops: (() => Promise<void>)[] = [() => atMost(CLOSE_MS, queues.close())]
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).reverse()) await end()
  }
  try {
    if (roles.has('worker')) {
      const { startWorkers } = await import('./workers/start-workers.ts')
      const worker = await startWorkers({
        ...house,
        dataFolder: config.dataFolder,
        publicUrl: publicUrl(config),
        notifyCommands: config.notifyCommands,
        queues,
        onStuck,
      })
      stops.push(() => worker.stop())
    }
    let url: string | undefined
    let setUpUrl: string | undefined
    if (roles.has('api')) {
      const { startApi } = await import('./api/server.ts')
      const api = await startApi({ ...house, queues })
      stops.push(() => api.stop())
      url = api.url
      setUpUrl = api.setUpUrl
    }
    return { url, setUpUrl, queueBackend: queues.backend, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
