// Accounts as the pages show them: a card of each in a list, all that is known of one, what its lanes were like, and what the
// operator does to it besides changing its settings.

import { sql } from 'kysely'
import type { Direction, Provider } from '../base/failure.ts'
import type { DbOrTx, Tx } from './database.ts'
import type { OAuthFlow } from './schema-credentials.ts'
import type { LaneKind, RestReason } from './schema.ts'

export interface AccountCard {
  readonly id: number
  readonly email: string
  readonly label: string
  readonly provider: Provider
  readonly receiveState: string | null
  readonly receiveLastOkAt: Date | null
  readonly sendState: string | null
  readonly sendLastOkAt: Date | null
  readonly flags: readonly { flag: string; direction: Direction; since: string; evidence: string }[]
  readonly waiting: number
  readonly waitingOldestAt: Date | null
  /** '+', '.' and 'x', the newest last. */
  readonly pulse: string
  readonly lastPollAt: Date | null
  readonly clientId: number | null
  readonly clientLabel: string | null
  readonly secretExpiresAt: Date | null
}

const CARD = sql`s.id, s.email, s.label, a.provider, s.receive_state as "receiveState", s.receive_last_ok_at as "receiveLastOkAt",
  s.send_state as "sendState", s.send_last_ok_at as "sendLastOkAt", s.flags, s.waiting_count as waiting,
  s.waiting_oldest_at as "waitingOldestAt", coalesce(d.pulse, '') as pulse, d.last_poll_at as "lastPollAt", c.id as "clientId",
  coalesce(nullif(c.label, ''), c.client_id) as "clientLabel", c.secret_expires_at as "secretExpiresAt"`
const CARDS = sql`poststelle.account_status s join poststelle.accounts a on a.id = s.id
  left join poststelle.maildrops d on d.account_id = s.id left join poststelle.oauth_clients c on c.id = a.oauth_client_id`

export interface CardFilter {
  /** One of the lamps is in one of them; 'ok': every lamp that is not paused. */
  readonly states: readonly string[]
  readonly flag: string | undefined
  readonly provider: string | undefined
  readonly app: string | undefined
  readonly words: string
}

const like = (text: string): string => `%${text.replace(/[\\%_]/g, '\\$&')}%`

function conditions({ states, flag, provider, app, words }: CardFilter) {
  const parts = [sql`true`]
  const troubles = states.filter((state) => state !== 'ok')
  if (states.length > 0)
    parts.push(sql`(s.receive_state = any(${troubles}::text[]) or s.send_state = any(${troubles}::text[])
      or ${states.includes('ok')} and coalesce(nullif(s.receive_state, 'paused'), 'ok') = 'ok' and coalesce(nullif(s.send_state, 'paused'), 'ok') = 'ok'
        and 'ok' in (s.receive_state, s.send_state))`)
  if (flag !== undefined)
    parts.push(
      sql`exists (select from poststelle.health_flags f where f.account_id = s.id and f.cleared_at is null and f.flag = ${flag})`,
    )
  if (provider !== undefined) parts.push(sql`a.provider = ${provider}`)
  if (app !== undefined) parts.push(sql`(c.label = ${app} or c.client_id = ${app} or c.id::text = ${app})`)
  for (const word of words.split(/\s+/).filter(Boolean))
    parts.push(sql`(s.email ilike ${like(word)} or s.label ilike ${like(word)})`)
  return sql.join(parts, sql` and `)
}

/** In trouble first, then by address. */
export async function listCards(
  db: DbOrTx,
  filter: CardFilter,
  page: { offset: number; limit: number },
): Promise<{ cards: AccountCard[]; total: number }> {
  const { rows } = await sql<AccountCard & { total: number }>`
    select ${CARD}, count(*) over () as total from ${CARDS} where ${conditions(filter)}
    order by least(${severity(sql`s.receive_state`)}, ${severity(sql`s.send_state`)}), lower(s.email)
    limit ${page.limit} offset ${page.offset}`.execute(db)
  return { cards: rows, total: rows[0]?.total ?? 0 }
}

const severity = (state: ReturnType<typeof sql>) =>
  sql`coalesce(array_position(array['blocked', 'failing', 'late', 'new', 'ok', 'paused'], ${state}), 9)`

export async function loadCard(db: DbOrTx, id: number): Promise<AccountCard | undefined> {
  return (await sql<AccountCard>`select ${CARD} from ${CARDS} where s.id = ${id}`.execute(db)).rows[0]
}

export interface LaneView {
  readonly lane: LaneKind
  readonly dueAt: Date | null
  readonly parkedUntil: Date | null
  readonly working: boolean
  readonly restsUntil: Date | null
  readonly restsFor: RestReason | null
}

export interface AccountView {
  readonly lanes: readonly LaneView[]
  readonly maildrop: {
    readonly lastPollAt: Date | null
    readonly listedCount: number | null
    readonly listedSizeBytes: number | null
    readonly guard: string | null
  } | null
  readonly grant: {
    readonly grantedAt: Date | null
    readonly grantedBy: OAuthFlow | null
    readonly refreshedAt: Date | null
    readonly accessExpiresAt: Date | null
    readonly refreshExpiresAt: Date | null
  } | null
  readonly paused: Readonly<Record<Direction, PausedBy | null>>
  readonly stored: number
  readonly stored24h: number
  readonly updatedAt: Date
}

export interface PausedBy {
  readonly by: string | null
  readonly reason: string | null
  readonly at: Date | null
}

/** Counting stops there. */
export const MOST_COUNTED = 10_000

export async function loadAccountView(db: DbOrTx, id: number): Promise<AccountView | undefined> {
  const account = await db.selectFrom('accounts').selectAll().where('id', '=', id).executeTakeFirst()
  if (!account) return undefined
  const lanes = await sql<LaneView>`
    select lane, due_at as "dueAt", parked_until as "parkedUntil", lease_until > now() as working, rests_until as "restsUntil",
      rests_for as "restsFor" from poststelle.lanes where account_id = ${id} order by lane`.execute(db)
  const maildrop = await sql<NonNullable<AccountView['maildrop']>>`
    select last_poll_at as "lastPollAt", listed_count as "listedCount", listed_size_bytes as "listedSizeBytes", guard
    from poststelle.maildrops where account_id = ${id}`.execute(db)
  const grant = await sql<NonNullable<AccountView['grant']>>`
    select granted_at as "grantedAt", granted_by as "grantedBy", refreshed_at as "refreshedAt", access_expires_at as "accessExpiresAt",
      refresh_expires_at as "refreshExpiresAt" from poststelle.grants where account_id = ${id}`.execute(db)
  const counts = await sql<{ stored: number; recent: number }>`
    select (select count(*) from (select from poststelle.messages where account_id = ${id} limit ${MOST_COUNTED}) m) as stored,
      (select count(*) from (select received_at from poststelle.messages where account_id = ${id} order by id desc limit ${MOST_COUNTED}) m
        where m.received_at > now() - interval '24 hours') as recent`.execute(db)
  const paused = (direction: Direction): PausedBy | null =>
    (direction === 'receive' ? account.enabled_receive : account.enabled_send)
      ? null
      : {
          by: account[`paused_${direction}_by`],
          reason: account[`paused_${direction}_reason`],
          at: account[`paused_${direction}_at`],
        }
  return {
    lanes: lanes.rows,
    maildrop: maildrop.rows[0] ?? null,
    grant: grant.rows[0] ?? null,
    paused: { receive: paused('receive'), send: paused('send') },
    stored: counts.rows[0]?.stored ?? 0,
    stored24h: counts.rows[0]?.recent ?? 0,
    updatedAt: account.updated_at,
  }
}

export interface HealthEventRow {
  readonly id: number
  readonly direction: Direction
  readonly at: Date
  readonly fromState: string
  readonly toState: string
  readonly flag: string | null
  readonly evidence: string | null
}

/** Since then, oldest first, and for each direction the one before, from which its first band is known. */
export async function healthEvents(db: DbOrTx, id: number, since: Date): Promise<HealthEventRow[]> {
  const { rows } = await sql<HealthEventRow>`
    select * from (
      select id, direction, at, from_state as "fromState", to_state as "toState", flag, evidence from poststelle.health_events
      where account_id = ${id} and at >= ${since}
      union all
      select * from (select distinct on (direction) id, direction, at, from_state, to_state, flag, evidence from poststelle.health_events
        where account_id = ${id} and at < ${since} order by direction, at desc, id desc) before
    ) e order by at, id limit 5000`.execute(db)
  return rows
}

/** The operator's switch. `paused` null: it works again. */
export async function switchLane(
  tx: Tx,
  id: number,
  direction: Direction,
  paused: { by: string; reason: string | null } | null,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('accounts')
    .set({
      [`enabled_${direction}`]: paused === null,
      [`paused_${direction}_by`]: paused?.by ?? null,
      [`paused_${direction}_reason`]: paused?.reason ?? null,
      [`paused_${direction}_at`]: paused ? sql<Date>`now()` : null,
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', id)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

export type DeleteOutcome = 'deleted' | 'not_found' | 'mail_waits'

/** With all its mail. Refused while mail waits to be sent. */
export async function deleteAccount(tx: Tx, id: number): Promise<DeleteOutcome> {
  const account = await tx.selectFrom('accounts').select('id').where('id', '=', id).forUpdate().executeTakeFirst()
  if (!account) return 'not_found'
  const waiting = await sql<{ any: boolean }>`
    select exists (select from poststelle.outbound_messages where account_id = ${id} and finished_at is null) as any`.execute(
    tx,
  )
  if (waiting.rows[0]?.any) return 'mail_waits'
  await tx.deleteFrom('outbound_messages').where('account_id', '=', id).execute()
  await tx.deleteFrom('accounts').where('id', '=', id).execute()
  return 'deleted'
}
