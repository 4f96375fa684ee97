// Exchange answers every refused login with the same line. What the token says of itself often names the cause: after a refusal, and
// where it is certain before the first login.

import { Failure, type Direction, type Stage } from '../base/failure.ts'
import type { Account } from '../db/accounts.ts'
import { flagEntryOf } from '../failures/catalogue.ts'
import type { Login } from '../net/net.ts'
import { lintToken, type TokenFinding } from '../oauth/lint-token.ts'

/** Refusals that leave the cause open. */
const CATCH_ALL = new Set(['pop3_auth_rejected', 'smtp_auth_rejected'])

/** What is wrong with the token of a login, the surest first; nothing for passwords and opaque tokens. */
export function findingsOf(account: Account, login: Login, direction: Direction, now: Date): TokenFinding[] {
  const { auth } = account
  if (login.mechanism !== 'xoauth2' || auth.type !== 'oauth2') return []
  return lintToken(login.accessToken, {
    provider: auth.client.provider,
    flow: auth.flow,
    direction,
    mailbox: login.username,
    username: auth.username ?? login.username,
    tokenEndpoint: auth.client.tokenEndpoint,
    clientId: auth.client.clientId,
    now,
  })
}

/** The refusal with the cause that the token gives away; as it was where it gives away none. */
export function explainedBy(failure: Failure, findings: readonly TokenFinding[]): Failure {
  const [found] = findings
  if (!found || !CATCH_ALL.has(failure.flag)) return failure
  // a shared mailbox is opened with the token of another user: that alone is no cause
  return named(failure, found.certain ? found.flag : failure.flag, found.says)
}

/** Told instead of a login that would only be refused. Its step is not a login: nothing counts towards a lock-out. */
export function refusedByToken(finding: TokenFinding, stage: Exclude<Stage, 'token'>): Failure {
  const lane = stage === 'pop3' ? 'receive' : 'send'
  const base = new Failure(
    { flag: finding.flag, scope: 'account', persistence: 'human', blocks: [lane] },
    { stage, step: 'claims', evidence: 'no login was tried' },
  )
  return named(base, finding.flag, finding.says)
}

function named({ verdict, evidence, stage, step }: Failure, flag: string, says: string): Failure {
  const entry = flagEntryOf(flag)
  const blocks = entry.blocks === 'stage' ? verdict.blocks : entry.blocks
  const now =
    flag === verdict.flag && step !== 'claims'
      ? verdict
      : { flag, scope: entry.scope, persistence: entry.persistence, blocks }
  return new Failure(now, { stage, step, evidence: `${evidence}; ${says}` })
}
