// Whose database this is, and how far it has come: the row of `installation`, and what is done to the outbound half of a database
// that was restored.

import { sql } from 'kysely'
import type { Db, DbOrTx, Tx } from './database.ts'
import type { FenceReason } from './schema-outbound.ts'

export interface InstallationRow {
  readonly id: string
  readonly epoch: number
  /** Where it was last written, as `system identifier/oid`; the first half is empty where it may not be read. */
  readonly place: string
  /** The same, of the database as it is found now. */
  readonly foundPlace: string
}

/** Far beyond anything that a machine may have seen and a backup not: an epoch lasts for ten seconds. */
const EPOCHS_AHEAD = 1_000_000_000
/** Ids and positions that were given out since the backup are not given out again. */
const NUMBERS_AHEAD = 10_000_000
const NUMBERS = [
  'poststelle.outbox_position',
  'poststelle.inbox_position',
  'poststelle.outbound_messages_id_seq',
  'poststelle.messages_id_seq',
]

export async function readInstallation(db: DbOrTx, options: { lock?: boolean } = {}): Promise<InstallationRow> {
  const { rows } = await sql<InstallationRow>`
    select id, epoch, place, poststelle.place() as "foundPlace" from poststelle.installation
    ${options.lock === true ? sql`for update` : sql``}`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the table installation is empty')
  return row
}

/** Committed to the disk when it returns, whatever the server's setting: the data folder is written after it. */
export async function advanceEpoch(db: Db): Promise<number> {
  return await db.transaction().execute(async (tx) => {
    await sql`set local synchronous_commit = on`.execute(tx)
    const { rows } = await sql<{ epoch: number }>`
      update poststelle.installation set epoch = epoch + 1 returning epoch`.execute(tx)
    return rows[0]?.epoch ?? 0
  })
}

export interface FenceResult {
  /** Undefined: `judge` found nothing to do. */
  readonly reason: FenceReason | undefined
  readonly held: number
  readonly row: InstallationRow
}

/**
 * Holds every message that is not through, closes its attempt, and makes this place and a new epoch the installation's own. `judge` is
 * asked with the row locked: of several processes that see the same one does it.
 */
export async function fenceOutbound(
  db: Db,
  judge: (row: InstallationRow) => FenceReason | undefined,
  seenEpoch: number,
): Promise<FenceResult> {
  return await db.transaction().execute(async (tx) => {
    await sql`set local synchronous_commit = on`.execute(tx)
    const row = await readInstallation(tx, { lock: true })
    const reason = judge(row)
    if (reason === undefined) return { reason, held: 0, row }
    const held = await holdEverything(tx)
    const epoch = Math.max(row.epoch, seenEpoch) + EPOCHS_AHEAD
    await sql`
      update poststelle.installation set epoch = ${epoch}, place = poststelle.place(), fenced_at = now(), fence_reason = ${reason}`.execute(
      tx,
    )
    await sql`
      select setval(name::regclass, nextval(name::regclass) + ${NUMBERS_AHEAD}) from unnest(${NUMBERS}::text[]) name`.execute(
      tx,
    )
    return { reason, held, row: { ...row, epoch, place: row.foundPlace } }
  })
}

async function holdEverything(tx: Tx): Promise<number> {
  const { rows } = await sql<{ held: number }>`
    with attempt as (
      update poststelle.delivery_attempts a set finished_at = now(), outcome = 'returned', reply = 'the database was restored'
      where a.finished_at is null
      returning a.message_id, a.phase
    ), message as (
      update poststelle.outbound_messages m
      set state = 'held', hold_reason = 'after_restore',
        -- whoever reviews it sees that it may have been sent even before the backup
        last_flag = case when m.state = 'uncertain' or exists (select from attempt a where a.message_id = m.id and a.phase = 'handing_over')
          then 'outcome_unknown' else m.last_flag end
      where m.finished_at is null and m.state <> 'held'
      returning m.id
    )
    select count(*) as held from message`.execute(tx)
  return rows[0]?.held ?? 0
}

/** Null: no mail is held because of a restore. */
export async function heldAfterRestore(
  db: Db,
): Promise<{ readonly fencedAt: Date; readonly reason: FenceReason; readonly held: number } | null> {
  const { rows } = await sql<{ fencedAt: Date; reason: FenceReason; held: number }>`
    select i.fenced_at as "fencedAt", i.fence_reason as reason, h.held
    from poststelle.installation i cross join (select count(*) as held from poststelle.outbound_messages
      where state = 'held' and hold_reason = 'after_restore') h
    where i.fenced_at is not null and h.held > 0`.execute(db)
  return rows[0] ?? null
}
