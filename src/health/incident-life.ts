// How incidents begin, grow and end, as the causes come and go. Pure. An incident is told once when it opens, once more when it has
// become another matter, and once when it is over; what flaps stays one incident.

import { MINUTE_MS, SECOND_MS } from '../base/clock.ts'
import type { OpenIncident } from '../db/incidents.ts'
import type { SubjectKind } from '../db/schema-incidents.ts'
import { keyOf, type Cause, type Member } from './incidents.ts'

/** Accounts meet a cause one after another; what comes in this time belongs to its beginning. */
const GATHERING_MS = 15 * MINUTE_MS
const GREW_BY = 2
/** A flag that goes and comes back within this time has not gone. */
const QUIET_MS = 30 * SECOND_MS
/** No flag, but no success either: another cause has taken its place, or nobody tries any more. */
const GONE_WITHOUT_SUCCESS_MS = 10 * MINUTE_MS

export interface Joined {
  readonly incidentId: number
  readonly members: readonly Member[]
}

export interface Changes {
  readonly open: readonly Cause[]
  /** Open incidents that are still there: accounts now, and whether it is to be told that they have grown. */
  readonly present: readonly { id: number; accounts: number; told: number; grew: boolean; back: boolean }[]
  readonly joined: readonly Joined[]
  readonly left: readonly Joined[]
  readonly gone: readonly number[]
  readonly closed: readonly { id: number; endedAt: Date }[]
  /** `into`: key of the cause that they turned out to be part of. */
  readonly merged: readonly { id: number; into: string }[]
}

export function reconcile(incidents: readonly OpenIncident[], causes: readonly Cause[], now: Date): Changes {
  const byKey = new Map(causes.map((cause) => [keyOf(cause), cause]))
  const known = new Set(incidents.map(keyOf))
  const present: Changes['present'][number][] = []
  const [joined, left]: [Joined[], Joined[]] = [[], []]
  const [gone, closed, merged]: [number[], { id: number; endedAt: Date }[], { id: number; into: string }[]] = [
    [],
    [],
    [],
  ]
  for (const incident of incidents) {
    const cause = byKey.get(keyOf(incident))
    if (cause) {
      present.push(presence(incident, cause, now))
      const come = without(cause.members, incident.members)
      const went = without(incident.members, cause.members)
      if (come.length > 0) joined.push({ incidentId: incident.id, members: come })
      if (went.length > 0) left.push({ incidentId: incident.id, members: went })
      continue
    }
    const whole = incident.members.length > 0 ? partOf(incident, causes) : undefined
    if (whole) merged.push({ id: incident.id, into: keyOf(whole) })
    else if (hasEnded(incident, now)) closed.push({ id: incident.id, endedAt: incident.goneAt ?? now })
    else if (!incident.goneAt) gone.push(incident.id)
  }
  return { open: causes.filter((cause) => !known.has(keyOf(cause))), present, joined, left, gone, closed, merged }
}

function presence(incident: OpenIncident, cause: Cause, now: Date): Changes['present'][number] {
  const accounts = accountsOf(cause.members)
  const gathering = now.getTime() - incident.firstToldAt.getTime() < GATHERING_MS
  const grew =
    !gathering &&
    accounts >= GREW_BY * incident.accountsTold &&
    now.getTime() - incident.toldAt.getTime() >= GATHERING_MS
  const told = grew || gathering ? Math.max(accounts, incident.accountsTold) : incident.accountsTold
  return { id: incident.id, accounts, told, grew, back: incident.goneAt !== null }
}

function hasEnded({ goneAt, concerned, succeeded }: OpenIncident, now: Date): boolean {
  if (concerned === 0) return true // deleted or switched off, all of them
  if (!goneAt) return false
  const quietMs = now.getTime() - goneAt.getTime()
  return quietMs >= (succeeded > 0 ? QUIET_MS : GONE_WITHOUT_SUCCESS_MS)
}

const BREADTH: Record<SubjectKind, number> = { account: 0, client: 1, tenant: 1, host: 1, service: 1, network: 2 }

/** All that had it have a wider cause now. */
function partOf(incident: OpenIncident, causes: readonly Cause[]): Cause | undefined {
  return causes.find(
    (cause) =>
      BREADTH[cause.subjectKind] > BREADTH[incident.subjectKind] &&
      without(incident.members, cause.members).length === 0,
  )
}

export const accountsOf = (members: readonly Member[]): number =>
  new Set(members.map(({ accountId }) => accountId)).size

function without(members: readonly Member[], others: readonly Member[]): Member[] {
  const there = new Set(others.map(({ accountId, direction }) => `${accountId} ${direction}`))
  return members.filter(({ accountId, direction }) => !there.has(`${accountId} ${direction}`))
}
