// Targets of notices, their places in the feeds of incidents, outgoing and received mail, and their deliveries.

import { sql } from 'kysely'
import type { Db, DbOrTx, Tx } from './database.ts'
import type { NotifyKind } from './schema-notify.ts'

export interface NotifyTarget {
  readonly id: number
  readonly kind: NotifyKind
  readonly label: string
  readonly address: string
  readonly secretSealed: string | null
  readonly previousSecretSealed: string | null
  readonly previousSecretUntil: Date | null
  readonly settings: Readonly<Record<string, unknown>>
  readonly events: readonly string[]
  readonly language: 'de' | 'en'
  readonly patienceMinutes: number
  readonly digest: boolean
  readonly digestOn: string | null
  readonly enabled: boolean
  readonly disabledReason: string | null
  readonly lastOkAt: Date | null
  readonly lastError: string | null
  readonly lastErrorAt: Date | null
  readonly waiting: number
}

const columns = sql<never>`t.id, t.kind, t.label, t.address, t.secret_sealed as "secretSealed",
  t.previous_secret_sealed as "previousSecretSealed", t.previous_secret_until as "previousSecretUntil", t.settings, t.events, t.language,
  t.patience_minutes as "patienceMinutes", t.digest, t.digest_on::text as "digestOn", t.enabled, t.disabled_reason as "disabledReason",
  t.last_ok_at as "lastOkAt", t.last_error as "lastError", t.last_error_at as "lastErrorAt",
  (select count(*) from poststelle.notify_deliveries d where d.target_id = t.id and d.state = 'waiting') as waiting`

export async function listTargets(db: DbOrTx): Promise<NotifyTarget[]> {
  return (await sql<NotifyTarget>`select ${columns} from poststelle.notify_targets t order by t.id`.execute(db)).rows
}

export async function loadTarget(db: DbOrTx, id: number): Promise<NotifyTarget | undefined> {
  return (await sql<NotifyTarget>`select ${columns} from poststelle.notify_targets t where t.id = ${id}`.execute(db))
    .rows[0]
}

/** What happened before is not told. Returns the id, under which its secret is sealed. */
export async function createTarget(
  tx: Tx,
  about: Pick<
    NotifyTarget,
    'kind' | 'label' | 'address' | 'settings' | 'events' | 'language' | 'patienceMinutes' | 'digest'
  >,
): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    insert into poststelle.notify_targets (kind, label, address, settings, events, language, patience_minutes, digest, incident_cursor,
      outbox_cursor, inbox_cursor)
    values (${about.kind}, ${about.label}, ${about.address}, ${JSON.stringify(about.settings)}, ${[...about.events]}::text[],
      ${about.language}, ${about.patienceMinutes}, ${about.digest},
      (select coalesce(max(id), 0) from poststelle.incident_events),
      (select coalesce(max(position), 0) from poststelle.outbound_events where position is not null),
      (select coalesce(max(position), 0) from poststelle.message_contents)) returning id`.execute(tx)
  return rows[0]?.id ?? 0
}

/** `keepUntil`: the old one signs as well until then. */
export async function setTargetSecret(
  db: DbOrTx,
  id: number,
  sealed: string,
  keep?: { old: string; until: Date },
): Promise<void> {
  await db
    .updateTable('notify_targets')
    .set({
      secret_sealed: sealed,
      previous_secret_sealed: keep?.old ?? null,
      previous_secret_until: keep?.until ?? null,
    })
    .where('id', '=', id)
    .execute()
}

export async function switchTarget(db: DbOrTx, id: number, enabled: boolean, reason: string | null): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('notify_targets')
    .set({ enabled, disabled_reason: reason })
    .where('id', '=', id)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

export async function deleteTarget(db: DbOrTx, id: number): Promise<boolean> {
  const { numDeletedRows } = await db.deleteFrom('notify_targets').where('id', '=', id).executeTakeFirst()
  return numDeletedRows === 1n
}

export async function markDigest(db: DbOrTx, id: number, day: string): Promise<void> {
  await sql`update poststelle.notify_targets set digest_on = ${day}::date where id = ${id}`.execute(db)
}

export interface NewDelivery {
  readonly type: string
  readonly payload: Readonly<Record<string, unknown>>
  readonly notBefore?: Date | undefined
}

export async function addDelivery(db: DbOrTx, targetId: number, d: NewDelivery): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    insert into poststelle.notify_deliveries (target_id, type, payload, next_attempt_at)
    values (${targetId}, ${d.type}, ${JSON.stringify(d.payload)}, coalesce(${d.notBefore ?? null}::timestamptz, now())) returning id`.execute(
    db,
  )
  return rows[0]?.id ?? 0
}

export interface FeedRow {
  readonly place: number
  readonly type: string
  readonly at: Date
  readonly data: Readonly<Record<string, unknown>>
  /** Of an incident that may heal by itself. */
  readonly transient: boolean
}

export type Feed = 'incident' | 'outbox' | 'inbox'

const FEEDS = {
  incident: sql<FeedRow>`
    select e.id as place, 'incident.' || e.event as type, e.at, i.persistence = 'transient' as transient,
      jsonb_build_object('incident', i.id, 'flag', i.flag, 'scope', i.scope, 'subject', i.subject, 'accounts', e.accounts,
        'waiting', e.waiting, 'lasted_seconds', e.lasted_seconds) as data
    from poststelle.incident_events e join poststelle.incidents i on i.id = e.incident_id`,
  outbox: sql<FeedRow>`
    select e.position as place, 'outbox.' || e.event as type, e.at, false as transient,
      jsonb_build_object('id', e.message_id, 'account', a.email, 'state', e.state, 'recipient', e.recipient, 'flag', e.flag,
        'attempts', e.attempts) as data
    from poststelle.outbound_events e left join poststelle.accounts a on a.id = e.account_id`,
  inbox: sql<FeedRow>`
    select c.position as place, case c.state when 'quarantined' then 'message.quarantined' else 'message.received' end as type,
      m.received_at as at, false as transient, jsonb_build_object('id', m.id, 'account', a.email, 'size_bytes', m.size_bytes, 'kind', c.kind) as data
    from poststelle.message_contents c join poststelle.messages m on m.id = c.message_id join poststelle.accounts a on a.id = m.account_id`,
} as const
const PLACES = { incident: 'e.id', outbox: 'e.position', inbox: 'c.position' } as const

/** The next rows of a feed for a target, in their order. */
export async function nextOfFeed(tx: Tx, targetId: number, feed: Feed, limit: number): Promise<FeedRow[]> {
  const place = sql.raw(PLACES[feed])
  const cursor = sql.ref(`${feed}_cursor`)
  const { rows } = await sql<FeedRow>`
    ${FEEDS[feed]} where ${place} > (select ${cursor} from poststelle.notify_targets where id = ${targetId})
    order by ${place} limit ${limit}`.execute(tx)
  return rows
}

export async function advance(tx: Tx, targetId: number, feed: Feed, place: number): Promise<void> {
  await sql`update poststelle.notify_targets set ${sql.ref(`${feed}_cursor`)} = ${place} where id = ${targetId}`.execute(
    tx,
  )
}

export interface Delivery {
  readonly id: number
  readonly targetId: number
  readonly type: string
  readonly payload: Readonly<Record<string, unknown>>
  readonly attempts: number
  readonly createdAt: Date
}

const CLAIM_SECONDS = 120

/** Those that are due, each put off while somebody is at it; of a target that is switched off none. */
export async function claimDeliveries(db: Db, limit: number): Promise<Delivery[]> {
  const { rows } = await sql<Delivery>`
    with due as (
      select d.id from poststelle.notify_deliveries d join poststelle.notify_targets t on t.id = d.target_id and t.enabled
      where d.state = 'waiting' and d.next_attempt_at <= now() order by d.next_attempt_at, d.id limit ${limit} for update of d skip locked
    )
    update poststelle.notify_deliveries d set next_attempt_at = now() + ${CLAIM_SECONDS} * interval '1 second', attempts = d.attempts + 1
    from due where d.id = due.id
    returning d.id, d.target_id as "targetId", d.type, d.payload, d.attempts, d.created_at as "createdAt"`.execute(db)
  return rows.toSorted((a, b) => a.id - b.id)
}

export interface DeliveryOutcome {
  readonly state: 'delivered' | 'dropped' | 'failed' | 'waiting'
  readonly status?: number | undefined
  readonly error?: string | undefined
  readonly nextAt?: Date | undefined
}

export async function settleDelivery(
  db: Db,
  { id, targetId }: Pick<Delivery, 'id' | 'targetId'>,
  o: DeliveryOutcome,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await sql`
      update poststelle.notify_deliveries set state = ${o.state}, last_status = ${o.status ?? null}, last_error = ${o.error ?? null},
        finished_at = case when ${o.state} <> 'waiting' then now() end, next_attempt_at = coalesce(${o.nextAt ?? null}::timestamptz, next_attempt_at)
      where id = ${id}`.execute(tx)
    if (o.state === 'delivered')
      await sql`update poststelle.notify_targets set last_ok_at = now() where id = ${targetId}`.execute(tx)
    else if (o.state !== 'dropped')
      await sql`update poststelle.notify_targets set last_error = ${o.error ?? ''}, last_error_at = now() where id = ${targetId}`.execute(
        tx,
      )
  })
}

export interface DeliveryRow extends Delivery {
  readonly state: string
  readonly nextAttemptAt: Date
  readonly finishedAt: Date | null
  readonly lastStatus: number | null
  readonly lastError: string | null
}

export async function listDeliveries(
  db: DbOrTx,
  targetId: number,
  page: { limit: number; before?: number | undefined },
): Promise<DeliveryRow[]> {
  const { rows } = await sql<DeliveryRow>`
    select id, target_id as "targetId", type, payload, attempts, created_at as "createdAt", state, next_attempt_at as "nextAttemptAt",
      finished_at as "finishedAt", last_status as "lastStatus", last_error as "lastError"
    from poststelle.notify_deliveries where target_id = ${targetId} and ${page.before === undefined ? sql`true` : sql`id < ${page.before}`}
    order by id desc limit ${page.limit}`.execute(db)
  return rows
}

/** Once more, under the same id. */
export async function replayDelivery(db: DbOrTx, targetId: number, id: number): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update poststelle.notify_deliveries set state = 'waiting', finished_at = null, next_attempt_at = now(), attempts = 0
    where id = ${id} and target_id = ${targetId}`.execute(db)
  return Boolean(numAffectedRows)
}

/** Whether it still is one. */
export async function incidentIsOpen(db: DbOrTx, id: number): Promise<boolean> {
  const { rows } = await sql<{ open: boolean }>`
    select gone_at is null and closed_at is null as open from poststelle.incidents where id = ${id}`.execute(db)
  return rows[0]?.open ?? false
}

/** Whether its beginning was told, or surely will be; one that still waits out its patience will not once the incident is over. */
export async function wasTold(db: DbOrTx, targetId: number, incident: number): Promise<boolean> {
  const { rows } = await sql<{ told: boolean }>`
    select exists (select from poststelle.notify_deliveries where target_id = ${targetId} and type = 'incident.opened'
      and payload ->> 'incident' = ${String(incident)} and (state in ('delivered', 'failed') or state = 'waiting' and not payload ? 'transient')) as told`.execute(
    db,
  )
  return rows[0]?.told ?? false
}

export async function sweepDeliveries(db: DbOrTx): Promise<void> {
  await sql`delete from poststelle.notify_deliveries where finished_at < now() - interval '30 days'`.execute(db)
}

export interface Hearing {
  /** Who is to be told of what happens; a heartbeat is not told anything. */
  readonly targets: number
  /** Of these: those that the last delivery did not reach, or that have turned us away for good. */
  readonly deaf: number
}

export async function readHearing(db: DbOrTx): Promise<Hearing> {
  const { rows } = await sql<Hearing>`
    select count(*)::int as targets,
      count(*) filter (where not enabled or last_error_at > coalesce(last_ok_at, '-infinity'))::int as deaf
    from poststelle.notify_targets where kind <> 'heartbeat' and (enabled or disabled_reason is not null)`.execute(db)
  return rows[0] ?? { targets: 0, deaf: 0 }
}
