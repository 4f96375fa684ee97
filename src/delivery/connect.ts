// A logged-in submission session for an account.

import { openLoggedIn } from '../credentials/log-in.ts'
import type { CredentialContext } from '../credentials/context.ts'
import type { Account, MailHost } from '../db/accounts.ts'
import type { Database } from '../db/database.ts'
import { loadGrant } from '../db/grants.ts'
import type { HostSlots } from '../net/host-slots.ts'
import { Submission } from '../smtp/submission.ts'
import type { KeptConnections } from './kept-connections.ts'
import type { RestoreFence } from './restore-fence.ts'

export interface SendContext extends CredentialContext {
  readonly database: Database
  readonly keptConnections: KeptConnections
  readonly fence: RestoreFence
  /** Of a process that drains many lanes at once. */
  readonly sendSlots?: HostSlots
}

/** Throws Failure. */
export async function connect(
  ctx: SendContext,
  account: Account,
  host: MailHost,
  signal: AbortSignal,
): Promise<Submission> {
  const domain = account.email.split('@')[1] ?? ''
  // a client without a name gives its address (RFC 5321 4.1.3)
  const clientName = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(domain) ? domain : '[127.0.0.1]'
  const target = { ...host, provider: account.provider }
  return await openLoggedIn(ctx, account, host, () => Submission.open(ctx.net, target, { signal, clientName }))
}

/**
 * Connections for the same purpose may stand in for each other. A password that was changed is to be tried; that a token was renewed
 * makes no difference to those who were let in with the old one.
 */
export async function purposeOf(ctx: SendContext, { id, auth }: Account, host: MailHost): Promise<string> {
  const version =
    auth.type === 'password' ? (await loadGrant(ctx.db, id))?.version : [auth.client.id, auth.flow, auth.scope]
  return JSON.stringify([host.host, host.port, host.security, host.username, version])
}
