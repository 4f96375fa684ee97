// One round over all incidents: reads what is open, decides, and writes it with its events in one transaction. Part of the upkeep.

import type { Logger } from '../base/logger.ts'
import type { Db, Tx } from '../db/database.ts'
import {
  alone,
  countHostsInUse,
  countWaiting,
  insertIncidents,
  joinIncidents,
  leaveIncidents,
  openBreakers,
  openFlags,
  openIncidents,
  saveClosed,
  saveGone,
  savePresent,
  tellIncidents,
  type IncidentNotice,
} from '../db/incidents.ts'
import type { IncidentEventKind } from '../db/schema-incidents.ts'
import { explain, flags as catalogue } from '../failures/catalogue.ts'
import { accountsOf, reconcile } from './incident-life.ts'
import { causesOf, keyOf, UNREACHABLE } from './incidents.ts'

const ENTRIES = new Map(catalogue().map((entry) => [entry.flag, entry]))

/** Returns what is new; undefined where another process is at it. */
export async function reconcileIncidents(db: Db): Promise<IncidentNotice[] | undefined> {
  return await alone(db, round)
}

async function round(tx: Tx, now: Date): Promise<IncidentNotice[]> {
  const incidents = await openIncidents(tx)
  const flags = await openFlags(tx)
  const breakers = await openBreakers(tx)
  if (incidents.length + flags.length + breakers.length === 0) return []
  const unreachable = [...flags, ...breakers].some(({ flag }) => UNREACHABLE.has(flag))
  const causes = causesOf(flags, {
    breakers: breakers.map((breaker) => {
      const { scope, persistence } = ENTRIES.get(breaker.flag) ?? { scope: 'server', persistence: 'transient' }
      return { ...breaker, scope, persistence }
    }),
    hostsInUse: unreachable ? await countHostsInUse(tx) : 0,
    networkDown: incidents.some(({ subjectKind }) => subjectKind === 'network'),
    now,
  })
  const changes = reconcile(incidents, causes, now)
  const ids = await insertIncidents(
    tx,
    changes.open.map(({ members, ...cause }) => ({ ...cause, accounts: accountsOf(members) })),
  )
  const opened = changes.open.map((cause, at) => ({ incidentId: ids[at] ?? 0, members: cause.members }))
  await joinIncidents(tx, [...opened, ...changes.joined])
  await leaveIncidents(tx, changes.left)
  await savePresent(tx, changes.present)
  await saveGone(tx, changes.gone)
  const idOf = new Map(
    [...incidents, ...changes.open.map((cause, at) => ({ ...cause, id: ids[at] ?? 0 }))].map((one) => [
      keyOf(one),
      one.id,
    ]),
  )
  await saveClosed(tx, [
    ...changes.closed.map(({ id }) => ({ id, into: null })),
    ...changes.merged.map(({ id, into }) => ({ id, into: idOf.get(into) ?? null })),
  ])
  await countWaiting(tx)
  const events = (event: IncidentEventKind, of: readonly number[]) => of.map((incidentId) => ({ incidentId, event }))
  return await tellIncidents(tx, [
    ...events(
      'merged',
      changes.merged.map(({ id }) => id),
    ),
    ...events(
      'closed',
      changes.closed.map(({ id }) => id),
    ),
    ...events(
      'grew',
      changes.present.filter(({ grew }) => grew).map(({ id }) => id),
    ),
    ...events('opened', ids),
  ])
}

/** One line for each. */
export function logNotices(log: Logger, notices: readonly IncidentNotice[]): void {
  for (const { incidentId, event, flag, subject, accounts, waiting, lastedSeconds, sentSince } of notices) {
    const about = { incident: incidentId, flag, accounts, waiting }
    const label = `${explain(flag, 'en').label} [${flag}], ${subject}`
    if (event === 'opened') log.warn(about, `incident opened: ${label}`)
    if (event === 'grew') log.warn(about, `incident grew: ${label}`)
    if (event === 'closed')
      log.info({ ...about, lasted_seconds: lastedSeconds, sent_since: sentSince }, `incident over: ${label}`)
  }
}
