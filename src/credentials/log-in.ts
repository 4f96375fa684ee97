// Opens a session and logs in, unless the token itself says that it would be refused. A refused token that was believed fresh is renewed once and tried once more; then the refusal
// is believed, and where it leaves the cause open, the token is asked.

import { Failure, type Direction } from '../base/failure.ts'
import type { Account, MailHost } from '../db/accounts.ts'
import type { Grant } from '../db/grants.ts'
import { mayTryAllTheSame } from '../db/health.ts'
import type { Login } from '../net/net.ts'
import type { CredentialContext } from './context.ts'
import { resolveLogin } from './resolve.ts'
import { explainedBy, findingsOf, refusedByToken } from './token-says.ts'

export interface Session {
  login(login: Login): Promise<void>
  close(): void
}

/** Refusals of a login that a new token may mend; the others name another cause, and a second login would only add to it. */
const TOKEN_MAY_BE_AT_FAULT = new Set([
  'pop3_auth_rejected',
  'smtp_auth_rejected',
  'sign_in_expired',
  'invalid_credentials',
  'unclassified',
])

/**
 * `open` connects up to the point where a login is possible. `grant`: as it was read a moment ago. Throws Failure; a session that was
 * not let in is closed.
 */
export async function openLoggedIn<S extends Session>(
  ctx: CredentialContext,
  account: Account,
  host: MailHost,
  open: () => Promise<S>,
  grant?: Grant,
): Promise<S> {
  const resolved = await resolveLogin(ctx, account, host, { known: grant })
  const direction: Direction = host === account.pop3 ? 'receive' : 'send'
  const [finding] = findingsOf(account, resolved.login, direction, ctx.clock.now())
  if (finding?.certain && !(await mayTryAllTheSame(ctx.db, account.id, direction, finding.flag)))
    throw refusedByToken(finding, direction === 'receive' ? 'pop3' : 'smtp')
  try {
    return await logIn(await open(), resolved.login)
  } catch (error) {
    if (!(error instanceof Failure) || !resolved.refreshable || !TOKEN_MAY_BE_AT_FAULT.has(error.flag)) throw error
  }
  const renewed = await resolveLogin(ctx, account, host, { refused: { version: resolved.version } })
  try {
    return await logIn(await open(), renewed.login)
  } catch (error) {
    throw error instanceof Failure
      ? explainedBy(error, findingsOf(account, renewed.login, direction, ctx.clock.now()))
      : error
  }
}

async function logIn<S extends Session>(session: S, login: Login): Promise<S> {
  try {
    await session.login(login)
    return session
  } catch (error) {
    session.close()
    throw error
  }
}
