// Incidents as people read them: those that are open, those that are over, and one with its events and accounts.

import { sql } from 'kysely'
import type { Direction } from '../base/failure.ts'
import type { Db } from './database.ts'
import type { IncidentEventKind, IncidentTables } from './schema-incidents.ts'

export type IncidentRow = IncidentTables['incident_status']

/** An open incident that accounts have now. */
export interface OpenTrouble extends IncidentRow {
  /** Lanes, where a host or our network is to blame: the accounts have no trouble of their own then. */
  readonly lanes: readonly { accountId: number; direction: Direction }[]
  /** Where it is one account only: which. */
  readonly only: string | null
}

export async function openTroubles(db: Db): Promise<OpenTrouble[]> {
  const { rows } = await sql<IncidentRow & { only: string | null; receiving: string[]; sending: string[] }>`
    select i.*, array(select m.account_id from poststelle.incident_accounts m where m.incident_id = i.id and m.left_at is null
        and m.direction = 'receive' and i.subject_kind in ('host', 'network')) as receiving,
      array(select m.account_id from poststelle.incident_accounts m where m.incident_id = i.id and m.left_at is null
        and m.direction = 'send' and i.subject_kind in ('host', 'network')) as sending,
      case when i.accounts = 1 then (select min(a.email) from poststelle.incident_accounts m join poststelle.accounts a on a.id = m.account_id
        where m.incident_id = i.id and m.left_at is null) end as only
    from poststelle.incident_status i where i.closed_at is null and i.accounts > 0 order by i.id`.execute(db)
  const lanes = (ids: readonly string[], direction: Direction) =>
    ids.map((id) => ({ accountId: Number(id), direction }))
  return rows.map(({ receiving, sending, ...row }) => ({
    ...row,
    lanes: [...lanes(receiving, 'receive'), ...lanes(sending, 'send')],
  }))
}

/** Open ones, or the last that are over: without those that became part of another. */
export async function listIncidents(db: Db, options: { closed: boolean; limit: number }): Promise<IncidentRow[]> {
  return await db
    .selectFrom('incident_status')
    .selectAll()
    .where('closed_at', options.closed ? 'is not' : 'is', null)
    .where('merged_into', 'is', null)
    .orderBy(options.closed ? 'closed_at' : 'opened_at', 'desc')
    .limit(options.limit)
    .execute()
}

export interface IncidentEvent {
  readonly at: Date
  readonly event: IncidentEventKind
  readonly accounts: number
  readonly waiting: number
  readonly lastedSeconds: number | null
  readonly sentSince: number | null
}

export interface IncidentDetails extends IncidentRow {
  readonly events: readonly IncidentEvent[]
  readonly affected: readonly { email: string; direction: Direction; joinedAt: Date; leftAt: Date | null }[]
}

export async function loadIncident(db: Db, id: number): Promise<IncidentDetails | undefined> {
  const incident = await db.selectFrom('incident_status').selectAll().where('id', '=', id).executeTakeFirst()
  if (!incident) return undefined
  const events = await db
    .selectFrom('incident_events')
    .select(['at', 'event', 'accounts', 'waiting', 'lasted_seconds as lastedSeconds', 'sent_since as sentSince'])
    .where('incident_id', '=', id)
    .orderBy('id')
    .execute()
  const affected = await db
    .selectFrom('incident_accounts as m')
    .innerJoin('accounts as a', 'a.id', 'm.account_id')
    .select(['a.email', 'm.direction', 'm.joined_at as joinedAt', 'm.left_at as leftAt'])
    .where('m.incident_id', '=', id)
    .orderBy('a.email')
    .orderBy('m.direction')
    .execute()
  return { ...incident, events, affected }
}
