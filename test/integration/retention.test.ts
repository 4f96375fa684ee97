// How long what is over is kept: what goes, what stays whatever its age, and that nothing comes back from the server.

import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { changeRetention } from '../../src/contract/retention.ts'
import { audit, verifyAudit } from '../../src/db/audit.ts'
import { sweepBlobs } from '../../src/db/blobs.ts'
import { countOld, readRetention, sweepRetention, type RetentionDays } from '../../src/db/retention.ts'
import type { OutboundState } from '../../src/db/schema-outbound.ts'
import { submitMessage } from '../../src/db/submissions.ts'
import { parseLane } from '../../src/retrieval/parse-lane.ts'
import { openInbound, type Inbound } from '../support/inbound.ts'
import { letters } from '../support/letters.ts'
import { outgoingMessage } from '../support/mail-world.ts'
import { putInState } from '../support/outbox-rows.ts'

const ACTOR = { kind: 'operator', name: 'admin', ip: null } as const
const OVER = ['sent', 'partial', 'failed', 'expired', 'bounced', 'cancelled'] as const
const OPEN = ['scheduled', 'queued', 'deferred', 'held', 'uncertain'] as const

let inbound: Inbound
beforeEach(async () => {
  inbound = await openInbound({ over: { smtp: { host: 'localhost', port: 587, security: 'starttls' } } })
})
afterEach(() => inbound.close())

const db = () => inbound.house.db
const keep = (days: Partial<RetentionDays>) => changeRetention(db(), ACTOR, { days })
const sweep = () => sweepRetention(db(), new Date())
const NOTHING = { received: 0, sent: 0, transcripts: 0, audit: 0 }

async function rows(table: string): Promise<number> {
  const { rows: found } = await sql<{
    n: number
  }>`select count(*)::int as n from ${sql.table(`poststelle.${table}`)}`.execute(db())
  return found[0]?.n ?? 0
}

/** Mail that was polled and parsed; `acknowledged` of it so many days ago. */
async function received(count: number, acknowledged: number, daysAgo: number): Promise<void> {
  for (const bytes of letters(count)) inbound.box.maildrop(inbound.user).add(bytes)
  await inbound.poll()
  await parseLane(inbound.house, await inbound.house.lease(inbound.id(), 'parse'), AbortSignal.timeout(20_000))
  await sql`update poststelle.messages set acknowledged_at = now() - ${daysAgo} * interval '1 day', received_at = now() - ${daysAgo + 1} * interval '1 day'
    where id in (select id from poststelle.messages order by id limit ${acknowledged})`.execute(db())
}

async function outgoing(state: OutboundState, daysAgo: number): Promise<number> {
  const id = await submitMessage(db(), {
    account: inbound.user,
    envelopeFrom: inbound.user,
    recipients: ['kunde@example.test'],
    raw: outgoingMessage(inbound.user, 'kunde@example.test', `${state}-${daysAgo}`),
    idempotencyKey: `${state}-${daysAgo}`,
  })
  await putInState(db(), id, state)
  await sql`insert into poststelle.delivery_attempts (message_id, number, phase, started_at, finished_at, outcome, transcript)
    values (${id}, 1, 'done', now() - ${daysAgo} * interval '1 day', now() - ${daysAgo} * interval '1 day', 'deferred', 'S: 220 x')`.execute(
    db(),
  )
  await sql`update poststelle.outbound_messages set created_at = now() - ${daysAgo} * interval '1 day',
    finished_at = finished_at - ${daysAgo} * interval '1 day' where id = ${id}`.execute(db())
  return id
}

describe('received mail', () => {
  test('is kept for ever until somebody says otherwise', async () => {
    await received(3, 3, 3_000)
    expect(await sweep()).toEqual(NOTHING)
    expect(await rows('messages')).toBe(3)
  })

  test('goes with its bytes when it was acknowledged that long ago; what nobody has fetched stays', async () => {
    await received(5, 3, 31)
    await keep({ received: 30 })
    expect(await countOld(db(), (await readRetention(db())).days, new Date(), 100)).toMatchObject({
      received: 3,
      sent: null,
    })
    expect(await sweep()).toEqual({ ...NOTHING, received: 3 })
    expect([await rows('messages'), await rows('message_contents')]).toEqual([2, 2])
    const { rows: orphans } = await sql`select from poststelle.message_bodies b
      where not exists (select from poststelle.messages m where m.id = b.message_id)`.execute(db())
    expect(orphans).toEqual([])
    await sweepBlobs(db())
    expect((await readRetention(db())).removed).toEqual({ ...NOTHING, received: 3 })
  })

  test('that lies on the server still is not fetched again, and is deleted there when its time comes', async () => {
    await received(4, 4, 31)
    await keep({ received: 30 })
    expect(await sweep()).toMatchObject({ received: 4 })
    await inbound.relist()
    expect(await inbound.poll()).toMatchObject({ stored: 0 })
    expect(await rows('messages')).toBe(0)
    await sql`update poststelle.maildrops set delete_after_days = 0`.execute(db())
    await inbound.relist()
    expect(await inbound.poll()).toMatchObject({ deleted: 4 })
    expect(inbound.box.maildrop(inbound.user).messages).toHaveLength(0)
  })

  test('whose server keeps it until it is acknowledged stays until the server has deleted it', async () => {
    await received(2, 2, 31)
    await sql`update poststelle.maildrops set delete_after_ack = true`.execute(db())
    await keep({ received: 30 })
    expect(await sweep()).toEqual(NOTHING)
    await inbound.relist()
    expect(await inbound.poll()).toMatchObject({ deleted: 2 })
    expect(await sweep()).toEqual({ ...NOTHING, received: 2 })
  })
})

describe('outgoing mail', () => {
  test('goes with attempts and events when it is through that long; what waits or is not settled stays whatever its age', async () => {
    for (const state of [...OVER, ...OPEN]) await outgoing(state, 31)
    const young = await outgoing('sent', 29)
    await keep({ sent: 30 })
    expect(await sweep()).toEqual({ ...NOTHING, sent: OVER.length })
    const { rows: left } = await sql<{ id: number; state: string }>`
      select id, state from poststelle.outbound_messages order by id`.execute(db())
    expect(left.map(({ state }) => state)).toEqual([...OPEN, 'sent'])
    expect(left.at(-1)?.id).toBe(young)
    expect([await rows('outbound_recipients'), await rows('delivery_attempts')]).toEqual([
      OPEN.length + 1,
      OPEN.length + 1,
    ])
    const { rows: orphans } = await sql`select from poststelle.outbound_events e
      where not exists (select from poststelle.outbound_messages m where m.id = e.message_id)`.execute(db())
    expect(orphans).toEqual([])
  })

  test('keeps its attempts when the transcripts go', async () => {
    await outgoing('sent', 8)
    await outgoing('queued', 6)
    await keep({ transcripts: 7 })
    expect(await sweep()).toEqual({ ...NOTHING, transcripts: 1 })
    const { rows: left } = await sql<{ transcript: string | null }>`
      select transcript from poststelle.delivery_attempts order by message_id`.execute(db())
    expect(left.map(({ transcript }) => transcript)).toEqual([null, 'S: 220 x'])
  })
})

describe('the whole', () => {
  test('nothing goes under a legal hold; what is too old goes when it is lifted', async () => {
    await received(2, 2, 31)
    await outgoing('sent', 31)
    await keep({ received: 30, sent: 30 })
    await changeRetention(db(), ACTOR, { hold: { reason: 'Az. 12/26' } })
    expect(await sweep()).toEqual(NOTHING)
    expect((await readRetention(db())).hold).toMatchObject({ reason: 'Az. 12/26', by: 'admin' })
    await changeRetention(db(), ACTOR, { hold: null })
    expect(await sweep()).toEqual({ ...NOTHING, received: 2, sent: 1 })
  })

  test('two processes at once remove each message once, and count it once', async () => {
    await received(250, 250, 31)
    await keep({ received: 30 })
    const both = await Promise.all([sweep(), sweep()])
    const left = await sweep()
    expect(both.reduce((sum, { received: n }) => sum + n, left.received)).toBe(250)
    expect((await readRetention(db())).removed.received).toBe(250)
    expect(await rows('messages')).toBe(0)
  })

  test('who changed it, and how much went, stands in the audit log', async () => {
    await outgoing('sent', 31)
    await keep({ sent: 30 })
    await keep({ sent: 30 })
    await changeRetention(db(), ACTOR, { hold: { reason: 'Prüfung' } })
    await changeRetention(db(), ACTOR, { hold: null })
    await sweep()
    const { rows: log } =
      await sql`select actor, action, details, reason from poststelle.audit_log order by id`.execute(db())
    expect(log).toEqual([
      {
        actor: 'admin',
        action: 'retention changed',
        details: { before: { sent: null }, after: { sent: 30 } },
        reason: null,
      },
      { actor: 'admin', action: 'legal hold set', details: {}, reason: 'Prüfung' },
      { actor: 'admin', action: 'legal hold lifted', details: {}, reason: 'Prüfung' },
      {
        actor: 'retention',
        action: 'old data removed',
        details: { received: 0, sent: 1, transcripts: 0 },
        reason: null,
      },
    ])
  })
})

describe('the audit log', () => {
  /** Entries of the past, chained as they would have been. */
  async function entries(daysAgo: readonly number[]): Promise<void> {
    await sql`alter table poststelle.audit_log disable trigger chain`.execute(db())
    for (const days of daysAgo)
      await sql`insert into poststelle.audit_log as a (at, actor_kind, actor, action, previous_hash, hash)
        select date_trunc('second', now()) - ${days} * interval '1 day', 'system', 'x', 'y',
          coalesce((select hash from poststelle.audit_log order by id desc limit 1), '\\x'), '\\x'`.execute(db())
    await sql`alter table poststelle.audit_log enable trigger chain`.execute(db())
    await sql`alter table poststelle.audit_log disable trigger append_only`.execute(db())
    await sql`do $$ declare r poststelle.audit_log; before bytea := '\\x'; begin
      for r in select * from poststelle.audit_log order by id loop
        r.previous_hash := before;
        before := poststelle.audit_hash(r);
        update poststelle.audit_log set previous_hash = r.previous_hash, hash = before where id = r.id;
      end loop; end $$`.execute(db())
    await sql`alter table poststelle.audit_log enable trigger append_only`.execute(db())
  }

  test('loses its beginning, time and again, and what is left is a whole chain', async () => {
    await entries([200, 150, 95, 91.5, 50])
    await keep({ audit: 90 })
    expect(await verifyAudit(db())).toEqual({ entries: 6, broken: [] })
    expect(await sweep()).toMatchObject({ audit: 4 })
    expect(await verifyAudit(db())).toEqual({ entries: 3, broken: [] })
    await audit(db(), ACTOR, { action: 'z' })
    await sweepRetention(db(), new Date(Date.now() + 60 * 86_400_000))
    expect(await verifyAudit(db())).toMatchObject({ entries: 4, broken: [] })
  })

  test('shows where somebody has removed more of its beginning than it says', async () => {
    await entries([200, 100, 50, 40])
    await keep({ audit: 90 })
    await sweep()
    await sql`alter table poststelle.audit_log disable trigger append_only`.execute(db())
    const { rows: first } = await sql<{ id: number }>`
      delete from poststelle.audit_log where id = (select min(id) from poststelle.audit_log) returning id`.execute(db())
    expect((await verifyAudit(db())).broken).toEqual([(first[0]?.id ?? 0) + 1])
  })

  test('is not shortened by hand', async () => {
    await entries([200, 100])
    await expect(sql`delete from poststelle.audit_log`.execute(db())).rejects.toThrow('append-only')
  })
})
