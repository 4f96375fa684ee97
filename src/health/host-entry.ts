// The door to a mail host: past its breaker, and into one of the places that a process has for it.

import { jitter } from '../base/backoff.ts'
import { later } from '../base/clock.ts'
import type { Db } from '../db/database.ts'
import type { HostSide } from '../db/host-breakers.ts'
import type { HostSlots } from '../net/host-slots.ts'
import { passHost } from './host-breaker.ts'

export type HostEntry =
  /** `leave` gives the place back. */
  | { readonly entered: true; readonly leave: () => void }
  /** Nobody was asked; come back then. */
  | { readonly entered: false; readonly until: Date }

/** `atBreaker` false: the host is known to be well, or the operator asked. Without `slots` there is always a place. */
export async function enterHost(
  db: Db,
  side: HostSide,
  accountId: number,
  options: { slots: HostSlots | undefined; atBreaker: boolean; now: Date },
): Promise<HostEntry> {
  const { slots, atBreaker, now } = options
  if (atBreaker) {
    const gate = await passHost(db, side, accountId, now)
    if (!gate.open) return { entered: false, until: gate.until }
  }
  if (!slots) return { entered: true, leave: () => undefined }
  const leave = slots.take(side.host)
  return leave
    ? { entered: true, leave }
    : { entered: false, until: later(now, jitter(slots.waitMs(side.host), 0.5, Math.random())) }
}
