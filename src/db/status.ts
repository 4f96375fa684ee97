// The figures of `status`: read from the same view that applications use, so that everybody sees the same.

import { sql } from 'kysely'
import type { Direction } from '../base/failure.ts'
import type { Db } from './database.ts'
import { listHostBreakers } from './host-breakers.ts'
import { openTroubles, type OpenTrouble } from './incident-lists.ts'
import { heldAfterRestore } from './installation.ts'
import { readHearing, type Hearing } from './notify.ts'
import { livingWorkers } from './worker-session.ts'

export interface LampStatus {
  readonly state: string
  readonly since: Date
  readonly lastOkAt: Date | null
}

export interface AccountStatus {
  readonly id: number
  readonly email: string
  readonly label: string
  /** null: the account has no such direction. */
  readonly receive: LampStatus | null
  readonly send: LampStatus | null
  readonly flags: readonly { flag: string; direction: Direction; since: Date; evidence: string }[]
  readonly waiting: { readonly count: number; readonly oldestAt: Date | null }
}

export async function accountStatuses(db: Db): Promise<AccountStatus[]> {
  const rows = await db.selectFrom('account_status').selectAll().orderBy('email').execute()
  const lamp = (state: string | null, since: Date, lastOkAt: Date | null): LampStatus | null =>
    state === null ? null : { state, since, lastOkAt }
  return rows.map((row) => ({
    id: row.id,
    email: row.email,
    label: row.label,
    receive: lamp(row.receive_state, row.receive_since, row.receive_last_ok_at),
    send: lamp(row.send_state, row.send_since, row.send_last_ok_at),
    flags: row.flags.map((flag) => ({ ...flag, since: new Date(flag.since) })),
    waiting: { count: row.waiting_count, oldestAt: row.waiting_oldest_at },
  }))
}

/** What came, went and waits. */
export interface MailFigures {
  readonly received: number
  readonly handedOver: number
  /** Of lanes that work: since when the oldest message is due. */
  readonly oldestDueAt: Date | null
  /** Of lanes that do not: how many messages wait there, and since when the oldest. */
  readonly stuck: number
  readonly oldestStuckAt: Date | null
  /** Messages without a final state, by the state that lists show. */
  readonly open: Readonly<Record<string, number>>
}

/** Everything a status is made of, by the command and by the page. */
export interface StatusReading {
  readonly accounts: readonly AccountStatus[]
  readonly hosts: Awaited<ReturnType<typeof listHostBreakers>>
  readonly restored: Awaited<ReturnType<typeof heldAfterRestore>>
  readonly workerAlive: boolean
  readonly incidents: readonly OpenTrouble[]
  readonly mail: MailFigures
  readonly hearing: Hearing
}

/** `since`: the figures of received and handed over mail begin there. */
export async function readStatus(db: Db, since: Date): Promise<StatusReading> {
  const [accounts, hosts, restored, workers, incidents, mail, hearing] = await Promise.all([
    accountStatuses(db),
    listHostBreakers(db),
    heldAfterRestore(db),
    livingWorkers(db),
    openTroubles(db),
    mailFigures(db, since),
    readHearing(db),
  ])
  const workerAlive = workers.some((worker) => worker.roles.includes('worker'))
  return { accounts, hosts, restored, workerAlive, incidents, mail, hearing }
}

async function mailFigures(db: Db, since: Date): Promise<MailFigures> {
  const { rows } = await sql<Omit<MailFigures, 'open'> & { open: Record<string, number> | null }>`
    with open as (
      select m.account_id, count(*) as due, min(m.next_attempt_at) as due_at, min(m.created_at) as created_at
      from poststelle.outbound_messages m
      where m.finished_at is null and m.next_attempt_at <= now() and m.state in ('scheduled', 'queued', 'deferred', 'uncertain')
      group by m.account_id
    ), due as (
      select o.*, h.state in ('failing', 'blocked') as stuck from open o
        join poststelle.account_health h on h.account_id = o.account_id and h.direction = 'send'
        join poststelle.accounts a on a.id = o.account_id and a.enabled_send
    )
    select
      (select count(*) from poststelle.messages where received_at >= ${since}) as received,
      (select count(*) from poststelle.outbound_messages where state in ('sent', 'partial', 'bounced') and finished_at >= ${since})
        as "handedOver",
      (select jsonb_object_agg(state, n) from (select state, count(*) as n from poststelle.outbox where finished_at is null group by state) s)
        as open,
      min(due_at) filter (where not stuck) as "oldestDueAt", coalesce(sum(due) filter (where stuck), 0) as stuck,
      min(created_at) filter (where stuck) as "oldestStuckAt"
    from due`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the figures of the mail are missing')
  return { ...row, open: row.open ?? {} }
}
