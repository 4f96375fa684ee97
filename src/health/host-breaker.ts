// One account with a wrong password is its own trouble; many accounts that fail at one host, and none that succeeds, are the
// host's: then one of them probes for all, so that neither the provider nor the others' turn is worn out.

import { exponential, jitter, probeDelayMs } from '../base/backoff.ts'
import { later, MINUTE_MS, SECOND_MS } from '../base/clock.ts'
import type { Failure } from '../base/failure.ts'
import type { Db, Tx } from '../db/database.ts'
import {
  countHostFailures,
  forgetHostFailure,
  hostHadSuccess,
  loadHostBreaker,
  noteHostFailure,
  openHostBreaker,
  takeProbe,
  wakeHostLanes,
  type HostBreaker,
  type HostSide,
} from '../db/host-breakers.ts'
import type { HostTrouble } from '../db/schema.ts'
import { isRefusedLogin } from '../failures/refused-login.ts'
import { isPassing } from './transition.ts'

const PROBE_MS = 2 * MINUTE_MS
const OPENS: Record<HostTrouble, { accounts: number; withinMs: number }> = {
  login: { accounts: 5, withinMs: 10 * MINUTE_MS },
  network: { accounts: 3, withinMs: 5 * MINUTE_MS },
}
const NETWORK_FIRST_MS = 30 * SECOND_MS
const NETWORK_MAX_MS = 15 * MINUTE_MS
const WAY_TO_THE_HOST = new Set(['connect', 'greeting', 'tls', 'ehlo', 'starttls'])

/** What a failed session says of the host; undefined: nothing, it concerns the account or a message. */
export function hostTroubleOf(failure: Failure): HostTrouble | undefined {
  if (isRefusedLogin(failure)) return 'login'
  const { step, verdict } = failure
  const onTheWay = step === 'auth' ? isPassing(verdict) : WAY_TO_THE_HOST.has(step)
  return onTheWay && verdict.scope !== 'account' ? 'network' : undefined
}

export const breakerDelayMs = (kind: HostTrouble, probes: number): number =>
  kind === 'login' ? probeDelayMs(probes) : exponential(probes + 1, NETWORK_FIRST_MS, NETWORK_MAX_MS)

export type HostGate =
  | { readonly open: true }
  /** Nobody is to be asked before `until`. */
  | { readonly open: false; readonly until: Date; readonly breaker: HostBreaker }

/** Whether a session with this host may begin now. Where the breaker's time is over, one caller gets through. */
export async function passHost(db: Db, host: HostSide, accountId: number, now: Date): Promise<HostGate> {
  const breaker = await loadHostBreaker(db, host)
  if (!breaker) return { open: true }
  const probing = later(now, PROBE_MS)
  if (breaker.openUntil <= now && (await takeProbe(db, host, accountId, now, probing))) return { open: true }
  const until = breaker.openUntil > now ? breaker.openUntil : probing
  return { open: false, until: later(until, jitter(15 * SECOND_MS, 1, Math.random())), breaker }
}

/** Inside the transaction that settles a failed session. */
export async function recordHostFailure(
  tx: Tx,
  host: HostSide,
  accountId: number,
  failure: Failure,
  now: Date,
): Promise<void> {
  const kind = hostTroubleOf(failure)
  if (!kind) return
  await noteHostFailure(tx, { ...host, accountId, kind, at: now })
  const before = await loadHostBreaker(tx, host)
  if (before) {
    // sessions that were under way when it opened are no probes
    if (before.probeAccountId !== accountId) return
  } else {
    const { accounts, withinMs } = OPENS[kind]
    const since = later(now, -withinMs)
    if ((await countHostFailures(tx, host, kind, since)) < accounts || (await hostHadSuccess(tx, host, since))) return
  }
  const probes = before ? before.probes + 1 : 0
  await openHostBreaker(tx, {
    ...host,
    kind,
    openedAt: before?.openedAt ?? now,
    openUntil: later(now, breakerDelayMs(kind, probes)),
    probes,
    flag: failure.flag,
    evidence: failure.evidence,
  })
}

/** Inside the transaction that settles a good session. */
export async function recordHostSuccess(tx: Tx, host: HostSide, accountId: number): Promise<void> {
  if (await forgetHostFailure(tx, host, accountId)) await wakeHostLanes(tx, host)
}
