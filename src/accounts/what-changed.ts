// Which lanes a changed account wakes: a change probes exactly the step that failed, at once. What it cannot mend keeps its
// parking, so that nobody is asked in vain. Pure.

import { DIRECTIONS, type Direction } from '../base/failure.ts'
import type { Account } from '../db/accounts.ts'
import type { LaneKind } from '../db/schema.ts'

export interface Wake {
  /** Due at once, parked or not. */
  readonly probe: readonly LaneKind[]
  /** Due at once, but those that are parked stay so. */
  readonly look: readonly LaneKind[]
}

export interface Change {
  readonly before: { readonly account: Account | undefined; readonly maildrop: unknown }
  readonly after: { readonly account: Account | undefined; readonly maildrop: unknown }
  /** Another secret was given, or the way to log in is another. */
  readonly newCredential: boolean
  /** Stages of the open flags of each direction, without notes. */
  readonly failedAt: Readonly<Record<Direction, readonly string[]>>
}

export function lanesToWake({ before, after, newCredential, failedAt }: Change): Wake {
  const differs = (pick: (account: Account | undefined) => unknown): boolean =>
    JSON.stringify(pick(before.account)) !== JSON.stringify(pick(after.account))
  const newAuth = newCredential || differs((account) => account?.auth)
  const usesTokens = after.account?.auth.type === 'oauth2'
  const hostChanged: Record<Direction, boolean> = {
    receive: differs((account) => account?.pop3),
    send: differs((account) => account?.smtp),
  }
  const changed: Record<Direction, boolean> = {
    receive: JSON.stringify(before.maildrop) !== JSON.stringify(after.maildrop),
    send: differs((account) => [account?.sending, account?.uncertainPolicy]),
  }
  // what waits for a token is woken by the token
  const waitsForToken = (direction: Direction): boolean =>
    usesTokens && failedAt[direction].length > 0 && failedAt[direction].every((stage) => stage === 'token')
  const probe: LaneKind[] = newAuth && usesTokens ? ['token'] : []
  const look: LaneKind[] = []
  for (const direction of DIRECTIONS) {
    const mends = newAuth || hostChanged[direction]
    if (mends && !waitsForToken(direction)) probe.push(direction)
    else if (hostChanged[direction] || changed[direction]) look.push(direction)
  }
  return { probe, look }
}
