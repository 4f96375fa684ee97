// Lists, counts, plans and times of the outbox, on real rows, few and a hundred thousand.

import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CHANGES, changeMessages, planChange, type Change } from '../../../src/db/outbox-changes.ts'
import { countOutbox, listOutbox, loadOutboxMessage, type OutboxFilter } from '../../../src/db/outbox.ts'
import { submitMessage } from '../../../src/db/submissions.ts'
import type { OutboundState } from '../../../src/db/schema-outbound.ts'
import { openHouse, passwordAccount, type TestHouse } from '../../support/house.ts'
import { outgoingMessage } from '../../support/mail-world.ts'
import { putInState, waitingMail } from '../../support/outbox-rows.ts'

describe('lists of the outbox', () => {
  let house: TestHouse
  let accountId = 0
  let otherId = 0
  beforeAll(async () => {
    house = await openHouse()
    const accounts = await house.importAccounts([passwordAccount('a@example.test'), passwordAccount('b@example.test')])
    accountId = accounts[0]?.id ?? 0
    otherId = accounts[1]?.id ?? 0
  })
  afterAll(() => house.close())
  beforeEach(async () => {
    await sql`delete from poststelle.outbound_messages`.execute(house.db)
    await sql`update poststelle.lanes set due_at = null, parked_until = null, rests_until = null, rests_for = null, lease_token = null, lease_until = null, lease_worker = null`.execute(
      house.db,
    )
    await sql`update poststelle.accounts set enabled_send = true, messages_per_minute = null`.execute(house.db)
    await sql`delete from poststelle.send_budgets`.execute(house.db)
  })

  const submit = (name: string, to = ['kunde@example.test'], from = 'a@example.test') =>
    submitMessage(house.db, {
      account: from,
      envelopeFrom: from,
      recipients: to,
      raw: outgoingMessage(from, to[0] ?? '', name),
      idempotencyKey: name,
    })
  const change = async (what: Change, id: number): Promise<string | null> =>
    (await changeMessages(house.db, what, [id]))[0]?.refusal ?? null
  const show = async (id: number) => {
    const message = await loadOutboxMessage(house.db, id)
    if (!message) throw new Error(`message ${id} is gone`)
    return message
  }

  test('operators see why a message waits', async () => {
    const id = await submit('x')
    const reason = async () => {
      const { state, holdReason, nextAttemptAt, eta } = await show(id)
      return { state, holdReason, waitsMs: (nextAttemptAt?.getTime() ?? 0) - Date.now(), eta }
    }
    expect(await reason()).toMatchObject({ state: 'queued', holdReason: null })
    await sql`insert into poststelle.send_budgets (account_id, paused_until, pause_flag) values (${accountId}, now() + interval '1 hour', 'x')`.execute(
      house.db,
    )
    const paced = await reason()
    expect(paced).toMatchObject({ state: 'held', holdReason: 'rate_limit' })
    expect(paced.waitsMs).toBeGreaterThan(3_500_000)
    expect(paced.eta?.getTime()).toBeGreaterThan(Date.now() + 3_500_000)
    await sql`update poststelle.lanes set parked_until = now() + interval '2 hours' where account_id = ${accountId} and lane = 'send'`.execute(
      house.db,
    )
    expect(await reason()).toMatchObject({ holdReason: 'account_blocked', eta: expect.any(Date) })
    await sql`update poststelle.lanes set parked_until = null where lane = 'send'`.execute(house.db)
    await sql`delete from poststelle.send_budgets`.execute(house.db)
    expect(await reason()).toMatchObject({ state: 'queued' })
    await sql`update poststelle.lanes set rests_until = now() + interval '30 seconds', rests_for = 'rate' where lane = 'send'`.execute(
      house.db,
    )
    expect(await reason()).toMatchObject({ state: 'held', holdReason: 'rate_limit' })
    await sql`update poststelle.accounts set enabled_send = false`.execute(house.db)
    expect(await reason()).toMatchObject({ holdReason: 'account_paused', eta: null })
    expect(await change('retry', id)).toBe('account_paused')
  })

  test('every waiting message can say when it will go: in the order of its lane, at its rate, and alone as in a list', async () => {
    await sql`update poststelle.accounts set messages_per_minute = 6`.execute(house.db)
    const [first, second, urgent, later, other] = [
      await submit('1'),
      await submit('2'),
      await submit('3'),
      await submit('4'),
      await submit('5', ['x@example.test'], 'b@example.test'),
    ]
    await sql`update poststelle.outbound_messages set priority = 9 where id = ${urgent}`.execute(house.db)
    await sql`update poststelle.outbound_messages set next_attempt_at = now() + interval '15 seconds' where id = ${later}`.execute(
      house.db,
    )
    const { rows } = await sql<{ id: number; alone: number; listed: number }>`
      select m.id, round(extract(epoch from poststelle.message_eta(m.id) - now()))::int as alone,
        round(extract(epoch from e.eta - now()))::int as listed
      from poststelle.outbound_messages m left join lateral poststelle.lane_etas(m.account_id) e on e.message_id = m.id
      order by m.id`.execute(house.db)
    expect(rows).toEqual(
      [
        [first, 10],
        [second, 20],
        [urgent, 0],
        [later, 30],
        [other, 0],
      ].map(([id, seconds]) => ({ id, alone: seconds, listed: seconds })),
    )
    const listed = await listOutbox(house.db, { accountId }, { limit: 9 })
    expect(listed.map(({ id }) => id)).toEqual([later, urgent, second, first])
    expect(listed.every(({ eta }) => eta !== null)).toBe(true)
  })

  test('what is asked for is what comes', async () => {
    const plain = await submit('plain')
    const two = await submit('100%_zwei', ['x@Kunde.example', 'y@kunde.example'])
    const foreign = await submit('fremd', ['z@example.test'], 'b@example.test')
    await putInState(house.db, two, 'failed')
    await sql`update poststelle.outbound_recipients set flag = 'recipient_unknown' where message_id = ${two} and ordinal = 2`.execute(
      house.db,
    )
    await sql`update poststelle.outbound_messages set created_at = now() - interval '3 days' where id = ${foreign}`.execute(
      house.db,
    )
    const ids = async (filter: OutboxFilter) =>
      (await listOutbox(house.db, filter, { limit: 9 })).map(({ id }) => id).toReversed()
    expect(await ids({})).toEqual([plain, two, foreign])
    expect(await ids({ accountId: otherId })).toEqual([foreign])
    expect(await ids({ states: ['failed', 'held'] })).toEqual([two])
    expect(await ids({ states: ['queued'] })).toEqual([plain, foreign])
    expect(await ids({ flag: 'recipient_unknown' })).toEqual([two])
    expect(await ids({ recipient: 'X@kunde.example' })).toEqual([two])
    expect(await ids({ recipient: 'kunde.example' })).toEqual([two])
    expect(await ids({ recipient: 'unde.example' })).toEqual([])
    expect(await ids({ subject: 'nr. 100%_Z' })).toEqual([two])
    expect(await ids({ subject: '%' })).toEqual([two])
    expect(await ids({ messageId: 'plain@out.example.test' })).toEqual([plain])
    expect(await ids({ idempotencyKey: 'fremd' })).toEqual([foreign])
    expect(await ids({ before: new Date(Date.now() - 86_400_000) })).toEqual([foreign])
    expect(await ids({ since: new Date(Date.now() - 86_400_000) })).toEqual([plain, two])
    expect(await ids({ ids: [two] })).toEqual([two])
    expect(await ids({ holdReasons: ['manual'] })).toEqual([])
    expect(await countOutbox(house.db, {})).toEqual([
      { state: 'queued', holdReason: null, count: 2 },
      { state: 'failed', holdReason: null, count: 1 },
    ])
    const [entry] = await listOutbox(house.db, { ids: [two] }, { limit: 1 })
    expect(entry).toMatchObject({ recipient: 'x@Kunde.example', recipientCount: 2, eta: null })
  })

  test('a plan has what the change is meant for, and finished messages only where they are asked for', async () => {
    const ids: Partial<Record<OutboundState, number>> = {}
    for (const state of ['queued', 'deferred', 'held', 'uncertain', 'failed', 'sent', 'scheduled'] as const) {
      ids[state] = await submit(state)
      await putInState(house.db, ids[state] ?? 0, state)
    }
    const planned = async (what: Change, filter: OutboxFilter = {}) => (await planChange(house.db, what, filter)).ids
    expect(await planned('retry')).toEqual([ids.queued, ids.deferred])
    expect(await planned('retry', { states: ['failed'] })).toEqual([ids.failed])
    expect(await planned('hold')).toEqual([ids.queued, ids.deferred, ids.uncertain, ids.scheduled])
    expect(await planned('release')).toEqual([ids.held])
    expect(await planned('cancel')).toEqual([ids.queued, ids.deferred, ids.held, ids.scheduled])
    expect(await planned('resolve_sent')).toEqual([ids.uncertain])
    for (const what of CHANGES)
      for (const id of await planned(what)) expect(await change(what, id), `${what} of ${id}`).toBeNull()
  })

  test('a hundred thousand waiting messages are listed, counted and planned in one go each', async () => {
    await waitingMail(house.db, accountId, 100_000)
    const times: Record<string, number> = {}
    const timed = async <T>(name: string, work: Promise<T>): Promise<T> => {
      const start = performance.now()
      const result = await work
      times[name] = Math.round(performance.now() - start)
      return result
    }
    expect(await timed('list', listOutbox(house.db, {}, { limit: 50 }))).toHaveLength(50)
    expect((await timed('list of one state', listOutbox(house.db, { states: ['held'] }, { limit: 50 }))).length).toBe(0)
    expect((await timed('counts', countOutbox(house.db, {})))[0]?.count).toBe(100_000)
    expect((await timed('plan', planChange(house.db, 'hold', {}))).ids).toHaveLength(100_000)
    const [newest] = await listOutbox(house.db, {}, { limit: 1 })
    await timed('eta', sql`select poststelle.message_eta(${newest?.id})`.execute(house.db))
    await timed(
      'batch of 500',
      changeMessages(house.db, 'hold', (await planChange(house.db, 'hold', {})).ids.slice(0, 500)),
    )
    console.log('100,000 waiting, in ms:', times)
  })
})
