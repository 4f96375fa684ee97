// What work with credentials needs, and which accounts have tokens.

import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Account } from '../db/accounts.ts'
import type { Db } from '../db/database.ts'
import type { OAuthClient } from '../db/oauth-clients.ts'
import type { Net } from '../net/net.ts'
import type { Flow } from '../oauth/token.ts'
import type { Vault } from '../secrets/vault.ts'

export interface CredentialContext {
  readonly db: Db
  readonly vault: Vault
  readonly net: Net
  readonly clock: Clock
  readonly log: Logger
  readonly workerId: number
  /** A command: what its own settings refuse is told to whoever runs it, and not held against the account. */
  readonly command?: boolean
}

/** An account whose auth is OAuth 2.0. */
export type OAuthAccount = Account & {
  readonly auth: {
    readonly type: 'oauth2'
    readonly flow: Flow
    readonly scope: string
    readonly username: string | null
    readonly client: OAuthClient
  }
}

export const isOAuth = (account: Account): account is OAuthAccount => account.auth.type === 'oauth2'
