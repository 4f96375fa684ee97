// What commands work with. The parts are put together above this floor (compose.ts) and handed down.

import type { Clock } from '../base/clock.ts'
import type { Config } from '../base/config.ts'
import type { Logger } from '../base/logger.ts'
import type { Database, Db } from '../db/database.ts'
import type { Net } from '../net/net.ts'
import type { Vault } from '../secrets/vault.ts'

export const ROLES = ['api', 'worker'] as const
export type Role = (typeof ROLES)[number]

/** Database, key ring and network of one installation, opened. */
export interface Installation {
  readonly config: Config
  readonly databaseUrl: string
  readonly database: Database
  readonly db: Db
  readonly vault: Vault
  readonly net: Net
  readonly clock: Clock
  readonly log: Logger
  readonly version: string
  /** Resolves when the embedded database has ended. */
  readonly databaseGone: Promise<void>
  close(): Promise<void>
}

export interface Service {
  /** Of the dashboard; undefined without the role `api`. */
  readonly url: string | undefined
  /** A one-time link, where nobody can log in yet. */
  readonly setUpUrl: string | undefined
  readonly queueBackend: 'redis' | 'postgres'
  stop(): Promise<void>
}

export interface Terminal {
  readonly isTTY: boolean
  readonly columns: number
  readonly errIsTTY: boolean
  /** Somebody is there to answer. */
  readonly inIsTTY: boolean
  out(text: string): void
  /** Bytes to standard output; resolves when the reader may be given more. */
  write(bytes: Buffer): Promise<void>
  err(text: string): void
  /** Says why and ends the process at once: there is nothing left to settle. */
  abort(sentence: string): never
  /** All of standard input. */
  stdin(): Promise<Buffer>
  /** Asks on standard error and returns the line that is typed; '' where the input ends or Ctrl-C is pressed. */
  ask(question: string): Promise<string>
  /** Resolves with the first SIGINT or SIGTERM; a second one ends the process at once. */
  stopSignal(): Promise<string>
}

export interface Builders {
  readonly version: string
  readConfig(): Config
  createLogger(config: Config): Logger
  openInstallation(
    config: Config,
    log: Logger,
    options: { migrations: 'up' | 'require' | 'leave'; exclusive?: boolean; existing?: boolean },
  ): Promise<Installation>
  startService(installation: Installation, roles: ReadonlySet<Role>, onStuck: () => void): Promise<Service>
}

export interface CommandContext extends Builders {
  readonly terminal: Terminal
}
