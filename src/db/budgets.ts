// What the governor knows of a mailbox and of its app registration, as rows. Whoever locks both locks the account's first.

import { sql } from 'kysely'
import type { DbOrTx, Tx } from './database.ts'

/** Slots since 1970 and what fell into each. */
export type SlotCounts = Readonly<Record<string, number>>

export interface LearnedLimit {
  readonly value: number
  readonly at: Date
}

export interface SendBudget {
  readonly owner: 'account' | 'client'
  readonly ownerId: number
  /** As the operator or the preset says; 0 or null: no limit. */
  readonly settings: {
    readonly connections: number | null
    readonly messagesPerMinute: number | null
    readonly recipientsPerDay: number | null
    readonly recipientsPerMessage: number | null
    /** Of a client. */
    readonly licences: number | null
  }
  readonly messagesBySecond: SlotCounts
  /** Of an account all recipients, of a client those outside the domain of their account. */
  readonly recipientsByHour: SlotCounts
  readonly learned: {
    readonly connections: LearnedLimit | null
    readonly messagesPerMinute: LearnedLimit | null
    readonly recipientsPerDay: LearnedLimit | null
    readonly recipientsPerMessage: LearnedLimit | null
  }
  /** The last one: it may be over. */
  readonly pause: { readonly until: Date; readonly flag: string; readonly evidence: string } | null
  /** How many followed each other, this one included. */
  readonly pauses: number
  /** A connection that a living worker keeps open. */
  readonly idle: { readonly until: Date; readonly workerId: number } | null
}

export interface SendBudgets {
  readonly account: SendBudget
  readonly client: SendBudget | null
}

interface Row {
  owner: 'account' | 'client'
  owner_id: number
  max_connections: number | null
  messages_per_minute: number | null
  recipients_per_day: number | null
  recipients_per_message: number | null
  licences: number | null
  idle_alive: boolean
  messages_by_second: SlotCounts | null
  recipients_by_hour: SlotCounts | null
  learned_connections: number | null
  connections_learned_at: Date | null
  learned_messages_per_minute: number | null
  messages_per_minute_learned_at: Date | null
  learned_recipients_per_day: number | null
  recipients_per_day_learned_at: Date | null
  learned_recipients_per_message: number | null
  recipients_per_message_learned_at: Date | null
  paused_until: Date | null
  pause_flag: string | null
  pause_evidence: string | null
  pauses: number | null
  idle_until: Date | null
  idle_worker: number | null
}

/** undefined: the account was deleted meanwhile. */
export async function loadBudgets(db: DbOrTx, accountId: number): Promise<SendBudgets | undefined> {
  const { rows } = await sql<Row>`
    select 'account' as owner, a.id as owner_id, coalesce(a.max_connections, p.max_connections) as max_connections,
      coalesce(a.messages_per_minute, p.messages_per_minute) as messages_per_minute,
      coalesce(a.recipients_per_day, p.recipients_per_day) as recipients_per_day,
      coalesce(a.recipients_per_message, p.recipients_per_message) as recipients_per_message, null::integer as licences,
      exists (select from poststelle.workers w where w.id = b.idle_worker) as idle_alive, b.*
    from poststelle.accounts a join poststelle.send_presets p on p.provider = a.provider
      left join poststelle.send_budgets b on b.account_id = a.id
    where a.id = ${accountId}
    union all
    select 'client', c.id, null, c.messages_per_minute, c.recipients_per_day, null, c.licences, false, b.*
    from poststelle.accounts a join poststelle.oauth_clients c on c.id = a.oauth_client_id
      left join poststelle.send_budgets b on b.oauth_client_id = c.id
    where a.id = ${accountId}`.execute(db)
  const account = rows.find(({ owner }) => owner === 'account')
  const client = rows.find(({ owner }) => owner === 'client')
  return account && { account: toBudget(account), client: client ? toBudget(client) : null }
}

const learnedLimit = (value: number | null, at: Date | null): LearnedLimit | null =>
  value === null || at === null ? null : { value, at }

function toBudget(row: Row): SendBudget {
  return {
    owner: row.owner,
    ownerId: row.owner_id,
    settings: {
      connections: row.max_connections,
      messagesPerMinute: row.messages_per_minute,
      recipientsPerDay: row.recipients_per_day,
      recipientsPerMessage: row.recipients_per_message,
      licences: row.licences,
    },
    messagesBySecond: row.messages_by_second ?? {},
    recipientsByHour: row.recipients_by_hour ?? {},
    learned: {
      connections: learnedLimit(row.learned_connections, row.connections_learned_at),
      messagesPerMinute: learnedLimit(row.learned_messages_per_minute, row.messages_per_minute_learned_at),
      recipientsPerDay: learnedLimit(row.learned_recipients_per_day, row.recipients_per_day_learned_at),
      recipientsPerMessage: learnedLimit(row.learned_recipients_per_message, row.recipients_per_message_learned_at),
    },
    pause:
      row.paused_until === null || row.pause_flag === null
        ? null
        : { until: row.paused_until, flag: row.pause_flag, evidence: row.pause_evidence ?? '' },
    pauses: row.pauses ?? 0,
    idle:
      row.idle_until === null || row.idle_worker === null || !row.idle_alive
        ? null
        : { until: row.idle_until, workerId: row.idle_worker },
  }
}

type Owner = Pick<SendBudget, 'owner' | 'ownerId'>
const columnOf = ({ owner }: Owner) => sql.ref(owner === 'account' ? 'account_id' : 'oauth_client_id')

/** Until the transaction ends nobody else changes it; what was read before may be old. */
export async function lockBudget(tx: Tx, owner: Owner): Promise<void> {
  const lock = sql`select from poststelle.send_budgets where ${columnOf(owner)} = ${owner.ownerId} for update`
  if ((await lock.execute(tx)).rows.length > 0) return
  await sql`
    insert into poststelle.send_budgets (${columnOf(owner)}) values (${owner.ownerId})
    on conflict (${columnOf(owner)}) do nothing`.execute(tx)
  await lock.execute(tx)
}

/** What went out, and nothing else. */
export async function saveSent(tx: Tx, budget: SendBudget): Promise<void> {
  const column = columnOf(budget)
  await sql`
    insert into poststelle.send_budgets (${column}, messages_by_second, recipients_by_hour)
    values (${budget.ownerId}, ${JSON.stringify(budget.messagesBySecond)}, ${JSON.stringify(budget.recipientsByHour)})
    on conflict (${column}) do update
    set messages_by_second = excluded.messages_by_second, recipients_by_hour = excluded.recipients_by_hour`.execute(tx)
}

/** What was learned, and the pause; of a budget that is locked. */
export async function saveLearned(tx: Tx, budget: SendBudget): Promise<void> {
  const { connections, messagesPerMinute, recipientsPerDay, recipientsPerMessage } = budget.learned
  await tx
    .updateTable('send_budgets')
    .set({
      learned_connections: connections?.value ?? null,
      connections_learned_at: connections?.at ?? null,
      learned_messages_per_minute: messagesPerMinute?.value ?? null,
      messages_per_minute_learned_at: messagesPerMinute?.at ?? null,
      learned_recipients_per_day: recipientsPerDay?.value ?? null,
      recipients_per_day_learned_at: recipientsPerDay?.at ?? null,
      learned_recipients_per_message: recipientsPerMessage?.value ?? null,
      recipients_per_message_learned_at: recipientsPerMessage?.at ?? null,
      paused_until: budget.pause?.until ?? null,
      pause_flag: budget.pause?.flag ?? null,
      pause_evidence: budget.pause?.evidence ?? null,
      pauses: budget.pauses,
    })
    .where(budget.owner === 'account' ? 'account_id' : 'oauth_client_id', '=', budget.ownerId)
    .execute()
}

/**
 * The worker keeps a connection of this account open until then: another worker opens one less meanwhile. null: it was closed,
 * and only the worker's own mark is taken away.
 */
export async function keepConnection(
  tx: DbOrTx,
  accountId: number,
  workerId: number,
  until: Date | null,
): Promise<void> {
  if (until === null)
    await sql`
      update poststelle.send_budgets set idle_until = null, idle_worker = null
      where account_id = ${accountId} and idle_worker = ${workerId}`.execute(tx)
  else
    await sql`
      insert into poststelle.send_budgets (account_id, idle_until, idle_worker) values (${accountId}, ${until}, ${workerId})
      on conflict (account_id) do update set idle_until = excluded.idle_until, idle_worker = excluded.idle_worker`.execute(
      tx,
    )
}
