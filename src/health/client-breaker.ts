// What the answer of a token endpoint says of the app registration that asked. A secret that has expired is the same for hundreds of
// accounts: one of them finds out, and finds out when it is over.

import { exponential, probeDelayMs } from '../base/backoff.ts'
import { later, MINUTE_MS, SECOND_MS } from '../base/clock.ts'
import type { Failure } from '../base/failure.ts'
import type { Tx } from '../db/database.ts'
import {
  clientAnswered,
  loadClientBreaker,
  openClientBreaker,
  unanswered,
  type ClientBreaker,
} from '../db/client-breakers.ts'
import { flagEntryOf } from '../failures/catalogue.ts'

/** How long a probe is kept from the others: longer than any request. */
export const CLIENT_PROBE_MS = 2 * MINUTE_MS
const AWAY_FIRST_MS = 30 * SECOND_MS
const AWAY_MAX_MS = 15 * MINUTE_MS
/** So many requests without a good answer, and none with one. */
const UNANSWERED_UNTIL_AWAY = 3

/** answered: the registration was let in, and the account refused. refused: the registration was. away: nothing was learnt. */
export type ClientTrouble = 'answered' | 'refused' | 'away'

export function clientTroubleOf({ verdict }: Failure): ClientTrouble {
  const ofClient = flagEntryOf(verdict.flag).probe === 'client'
  if (ofClient && verdict.persistence === 'human') return 'refused'
  const { scope } = verdict
  return ofClient || scope === 'network' || scope === 'server' || scope === 'service' ? 'away' : 'answered'
}

/** When the next account may ask; undefined: the breaker stays closed. */
export function clientOpenUntil(
  { verdict }: Failure,
  trouble: ClientTrouble,
  before: { readonly probes: number | undefined; readonly unanswered: number },
  now: Date,
): Date | undefined {
  if (trouble === 'answered') return undefined
  const probes = before.probes === undefined ? 0 : before.probes + 1
  if (trouble === 'refused') return later(now, Math.max(probeDelayMs(probes), verdict.retryAfterMs ?? 0))
  // a server that names a wait is believed at once
  if (verdict.retryAfterMs === undefined && probes === 0 && before.unanswered < UNANSWERED_UNTIL_AWAY) return undefined
  return later(now, Math.max(exponential(probes + 1, AWAY_FIRST_MS, AWAY_MAX_MS), verdict.retryAfterMs ?? 0))
}

/** Inside the transaction that settles a refused request. Returns the breaker where it has opened, or opened further. */
export async function recordClientFailure(
  tx: Tx,
  clientId: number,
  accountId: number,
  failure: Failure,
  now: Date,
): Promise<{ opened: boolean; closed: boolean; breaker: ClientBreaker | undefined }> {
  const trouble = clientTroubleOf(failure)
  if (trouble === 'answered') {
    const closed = await clientAnswered(tx, clientId, now)
    return { opened: false, closed, breaker: undefined }
  }
  const before = await loadClientBreaker(tx, clientId)
  // requests that were under way when it opened are no probes
  if (before && before.probeAccountId !== accountId) return { opened: false, closed: false, breaker: before }
  const openUntil = clientOpenUntil(
    failure,
    trouble,
    { probes: before?.probes, unanswered: await unanswered(tx, clientId) },
    now,
  )
  if (!openUntil) return { opened: false, closed: false, breaker: undefined }
  const { flag, scope, persistence } = failure.verdict
  const breaker: ClientBreaker = {
    openedAt: before?.openedAt ?? now,
    openUntil,
    probes: before ? before.probes + 1 : 0,
    probeAccountId: null,
    flag,
    scope,
    persistence,
    evidence: failure.evidence,
  }
  await openClientBreaker(tx, clientId, breaker)
  return { opened: !before, closed: false, breaker }
}
