// The feed of the application: what became of outbound mail, in an order in which nothing is skipped.

import { once } from 'node:events'
import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { EventNumbering, numberOutboundEvents } from '../../src/db/outbound-events.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { eventsSince, mailThatIs, move, submitMail, type EventRow } from '../support/outbound-life.ts'

const ACCOUNT = 'a@example.test'
const mail = { account: ACCOUNT }

describe('events of outbound mail', () => {
  let house: TestHouse
  beforeAll(async () => {
    house = await openHouse()
    await house.importAccounts([passwordAccount(ACCOUNT)])
  })
  afterAll(() => house.close())
  beforeEach(async () => {
    await sql`delete from poststelle.outbound_messages`.execute(house.db)
    await sql`delete from poststelle.outbound_events`.execute(house.db)
  })

  const all = async (): Promise<EventRow[]> => {
    await numberOutboundEvents(house.db)
    return await eventsSince(house.db, 0)
  }
  const names = async (): Promise<string[]> => (await all()).map(({ event }) => event)
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client(house.database.url)
    await client.connect()
    return client
  }
  const cancel = `update poststelle.outbound_messages set state = 'cancelled', finished_at = now(), next_attempt_at = null where id = $1`

  test('a message tells its story, and claims and what is given back are not part of it', async () => {
    const id = await submitMail(house.db, mail)
    for (const state of [
      'sending',
      'queued',
      'sending',
      'deferred',
      'sending',
      'uncertain',
      'sending',
      'sent',
    ] as const)
      await move(house.db, id, state, { reply: `reply to ${state}` })
    expect(await all()).toEqual([
      expect.objectContaining({
        message_id: id,
        event: 'deferred',
        state: 'deferred',
        reply: 'reply to deferred',
        recipient: null,
      }),
      expect.objectContaining({ event: 'uncertain', reply: 'reply to uncertain' }),
      expect.objectContaining({ event: 'sent', state: 'sent' }),
    ])
  })

  test.each(['partial', 'failed', 'expired', 'cancelled', 'bounced'] as const)('%s is an event', async (state) => {
    await mailThatIs(house.db, mail, state)
    expect(await names()).toEqual([state])
  })

  test.each(['queued', 'scheduled', 'deferred'] as const)('held and let go as %s: held, released', async (state) => {
    const id = await submitMail(house.db, mail)
    await move(house.db, id, 'held')
    await move(house.db, id, state)
    expect(await names()).toEqual(['held', 'released'])
  })

  test('a message that is deferred for more than four hours says once that it is late', async () => {
    const id = await mailThatIs(house.db, mail, 'deferred')
    expect(await names()).toEqual(['deferred'])
    await sql`update poststelle.outbound_messages set created_at = now() - interval '5 hours'`.execute(house.db)
    await sql`update poststelle.delivery_attempts set started_at = now() - interval '241 minutes'`.execute(house.db)
    for (const state of ['sending', 'deferred', 'sending', 'deferred'] as const) await move(house.db, id, state)
    expect(await names()).toEqual(['deferred', 'deferred', 'delayed', 'deferred'])
  })

  test('a message that was to be sent later is not late because of that', async () => {
    const id = await submitMail(house.db, mail)
    await sql`update poststelle.outbound_messages set created_at = now() - interval '3 days'`.execute(house.db)
    await move(house.db, id, 'sending')
    await move(house.db, id, 'deferred')
    expect(await names()).toEqual(['deferred'])
  })

  test('what is committed late comes later, is not skipped, and keeps nobody waiting', async () => {
    const [late, early] = [await submitMail(house.db, mail), await submitMail(house.db, mail)]
    const application = await connect()
    await application.query('begin')
    await application.query(cancel, [late]) // its id is the lower one
    await move(house.db, early, 'sent')
    const first = await all()
    expect(first).toEqual([expect.objectContaining({ message_id: early, event: 'sent' })])
    await application.query('commit')
    await application.end()
    await numberOutboundEvents(house.db)
    expect(await eventsSince(house.db, first.at(-1)?.position ?? -1)).toEqual([
      expect.objectContaining({ message_id: late, event: 'cancelled' }),
    ])
  })

  test('while one process gives positions another one does nothing, and does not wait', async () => {
    await mailThatIs(house.db, mail, 'sent')
    await house.db.transaction().execute(async (tx) => {
      const last = await numberOutboundEvents(tx)
      expect(last).not.toBeNull()
      await mailThatIs(house.db, mail, 'failed')
      expect(await numberOutboundEvents(house.db)).toBeNull()
      expect(await eventsSince(house.db, 0)).toEqual([])
    })
    expect(await names()).toEqual(['sent', 'failed'])
  })

  test('nothing is skipped and nothing comes twice for a reader who reads while many write and several give positions', async () => {
    const ids: number[] = []
    for (let i = 0; i < 200; i++) ids.push(await submitMail(house.db, mail))
    const work = { done: false }
    const seen: number[] = []
    const positions: number[] = []
    const number = async () => {
      while (!work.done) await numberOutboundEvents(house.db)
    }
    const read = async (): Promise<void> => {
      for (const { position, message_id: id } of await eventsSince(house.db, positions.at(-1) ?? 0, 7)) {
        positions.push(position)
        seen.push(id)
      }
    }
    const reader = (async () => {
      while (!work.done) await read()
    })()
    const numbering = [number(), number()]
    await Promise.all(
      [0, 1, 2, 3].map(async (k) => {
        for (const id of ids.filter((each) => each % 4 === k)) await move(house.db, id, 'sent')
      }),
    )
    work.done = true
    await Promise.all([reader, ...numbering])
    await numberOutboundEvents(house.db)
    for (let before = -1; before !== seen.length;) {
      before = seen.length
      await read()
    }
    expect(seen.toSorted((a, b) => a - b)).toEqual(ids)
    expect(positions).toEqual([...new Set(positions)].toSorted((a, b) => a - b))
  })

  test('a tick that looked in vain, and for long, is not repeated at once', async () => {
    let nowMs = 0
    let tookMs = 1
    const numbering = new EventNumbering(house.db, () => (nowMs += tookMs))
    const tickAt = async (at: number): Promise<number> => {
      nowMs = at
      await numbering.tick()
      return (await eventsSince(house.db, 0)).length
    }
    await tickAt(0)
    await mailThatIs(house.db, mail, 'sent')
    expect(await tickAt(150)).toBe(1)
    tookMs = 100
    await tickAt(300)
    await mailThatIs(house.db, mail, 'sent')
    expect(await tickAt(450)).toBe(1)
    expect(await tickAt(2_400)).toBe(2)
  })

  test('a listener hears the last position, once for a batch', async () => {
    const listener = await connect()
    await listener.query('listen poststelle_outbox')
    const heard: string[] = []
    listener.on('notification', ({ payload = '' }) => heard.push(payload))
    for (let i = 0; i < 5; i++) await mailThatIs(house.db, mail, 'sent')
    const bell = once(listener, 'notification')
    const last = await numberOutboundEvents(house.db)
    await bell
    expect(heard).toEqual([String(last)])
    expect((await eventsSince(house.db, 0)).at(-1)?.position).toBe(last)
    expect(await numberOutboundEvents(house.db)).toBeNull()
    await listener.end()
  })

  test('the role of applications may read the feed, and neither write nor number it', async () => {
    await mailThatIs(house.db, mail, 'sent')
    await numberOutboundEvents(house.db)
    const client = await connect()
    await client.query('set role poststelle_app')
    const { rows } = await client.query('select event, account from poststelle.outbox_since(0)')
    expect(rows).toEqual([{ event: 'sent', account: ACCOUNT }])
    expect((await client.query('select idempotency_key from poststelle.outbox_events')).rowCount).toBe(1)
    for (const statement of [
      'select * from poststelle.outbound_events',
      'select poststelle.number_outbound_events(1)',
      `select poststelle.take_as_sent(1, null, 'x')`,
      `select poststelle.apply_delivery_reports('{1}')`,
    ])
      await expect(client.query(statement)).rejects.toThrow(/permission denied/)
    await client.end()
  })
})
