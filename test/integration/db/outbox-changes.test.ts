// What may be changed in the outbox when, on real rows: refused or done, and what else follows from it.

import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { changeMessages, type Change } from '../../../src/db/outbox-changes.ts'
import { loadOutboxMessage } from '../../../src/db/outbox.ts'
import { submitMessage } from '../../../src/db/submissions.ts'
import type { OutboundState } from '../../../src/db/schema-outbound.ts'
import { openHouse, passwordAccount, type TestHouse } from '../../support/house.ts'
import { outgoingMessage } from '../../support/mail-world.ts'
import { putInState } from '../../support/outbox-rows.ts'

describe('the outbox', () => {
  let house: TestHouse
  let accountId = 0
  beforeAll(async () => {
    house = await openHouse()
    const accounts = await house.importAccounts([passwordAccount('a@example.test')])
    accountId = accounts[0]?.id ?? 0
  })
  afterAll(() => house.close())
  beforeEach(async () => {
    await sql`delete from poststelle.outbound_messages`.execute(house.db)
  })

  const submit = (name: string, to = ['kunde@example.test']) =>
    submitMessage(house.db, {
      account: 'a@example.test',
      envelopeFrom: 'a@example.test',
      recipients: to,
      raw: outgoingMessage('a@example.test', to[0] ?? '', name),
      idempotencyKey: name,
    })
  const change = async (what: Change, id: number): Promise<string | null> =>
    (await changeMessages(house.db, what, [id]))[0]?.refusal ?? null
  const show = async (id: number) => {
    const message = await loadOutboxMessage(house.db, id)
    if (!message) throw new Error(`message ${id} is gone`)
    return message
  }

  /** What each change does to each stored state: a new state, or the reason why not. */
  const RULES: Record<string, Partial<Record<Change, string>>> = {
    scheduled: {
      retry: '!scheduled',
      hold: 'held',
      release: '!not_held',
      cancel: 'cancelled',
      resolve_sent: '!not_uncertain',
    },
    queued: {
      retry: 'queued',
      hold: 'held',
      release: '!not_held',
      cancel: 'cancelled',
      resolve_resend: '!not_uncertain',
    },
    deferred: {
      retry: 'queued',
      hold: 'held',
      release: '!not_held',
      cancel: 'cancelled',
      resolve_sent: '!not_uncertain',
    },
    sending: { retry: '!sending', hold: 'held', release: '!sending', cancel: 'cancelled', resolve_sent: '!sending' },
    handing_over: {
      retry: '!sending',
      hold: '!handing_over',
      release: '!sending',
      cancel: '!handing_over',
      resolve_resend: '!sending',
    },
    held: { retry: '!held', hold: '!already', release: 'queued', cancel: 'cancelled', resolve_sent: '!not_uncertain' },
    uncertain: {
      retry: '!uncertain',
      hold: 'uncertain',
      release: '!not_held',
      cancel: '!uncertain',
      resolve_sent: 'sent',
      resolve_resend: 'uncertain',
    },
    sent: {
      retry: '!finished',
      hold: '!finished',
      release: '!finished',
      cancel: '!finished',
      resolve_sent: '!not_uncertain',
    },
    partial: { retry: 'queued', hold: '!finished', cancel: '!finished' },
    failed: {
      retry: 'queued',
      hold: '!finished',
      release: '!finished',
      cancel: '!finished',
      resolve_resend: '!not_uncertain',
    },
    expired: { retry: 'queued', cancel: '!finished' },
    bounced: { retry: '!finished', cancel: '!finished' },
    cancelled: { retry: '!finished', hold: '!finished', cancel: '!already' },
  }
  const rows = Object.entries(RULES).flatMap(([state, changes]) =>
    Object.entries(changes).map(([what, outcome]) => ({
      state: state as OutboundState | 'handing_over',
      what: what as Change,
      outcome: outcome.replace('!', ''),
      refused: outcome.startsWith('!'),
    })),
  )
  const tried = async (state: OutboundState | 'handing_over', what: Change) => {
    const id = await submit('x')
    await putInState(house.db, id, state)
    const before = await show(id)
    const refusal = await change(what, id)
    return { before, refusal, after: await show(id) }
  }

  test.each(rows.filter(({ refused }) => !refused))(
    '$state: $what makes it $outcome',
    async ({ state, what, outcome }) => {
      const { refusal, after } = await tried(state, what)
      expect({ refusal, state: after.state }).toEqual({ refusal: null, state: outcome })
      expect(after.finishedAt !== null).toBe(['sent', 'cancelled'].includes(outcome))
      expect(after.deliveryAttempts.filter(({ finishedAt }) => finishedAt === null)).toEqual([])
    },
  )

  test.each(rows.filter(({ refused }) => refused))(
    '$state: $what is refused: $outcome',
    async ({ state, what, outcome }) => {
      const { before, refusal, after } = await tried(state, what)
      expect(refusal).toBe(outcome)
      expect({ ...after, eta: null }).toEqual({ ...before, eta: null })
    },
  )

  test('a message that is not there is refused, and a batch tells of each one by itself', async () => {
    const [one, two] = [await submit('1'), await submit('2')]
    await putInState(house.db, two, 'sent')
    expect(await changeMessages(house.db, 'hold', [999_999, two, one, one])).toEqual([
      { id: one },
      { id: two, refusal: 'finished' },
      { id: 999_999, refusal: 'not_found' },
    ])
  })

  test('what an open transaction keeps locked is refused, and holds nothing else up', async () => {
    const [locked, free] = [await submit('1'), await submit('2')]
    const client = new pg.Client(house.database.url)
    await client.connect()
    await client.query('begin')
    await client.query('select poststelle.cancel_message($1)', [locked])
    expect(await changeMessages(house.db, 'hold', [locked, free])).toEqual([
      { id: locked, refusal: 'busy' },
      { id: free },
    ])
    await client.query('rollback')
    await client.end()
    expect(await change('hold', locked)).toBeNull()
  })

  test('what is taken back from a worker costs no attempt, and the attempt says so', async () => {
    const id = await submit('x')
    await putInState(house.db, id, 'sending')
    expect(await change('hold', id)).toBeNull()
    expect(await show(id)).toMatchObject({
      state: 'held',
      holdReason: 'manual',
      attempts: 0,
      nextAttemptAt: null,
      eta: null,
      deliveryAttempts: [{ number: 1, phase: 'claimed', outcome: 'returned', reply: 'withdrawn' }],
    })
  })

  test('a rejected message is tried again for those that did not get it, with five days of its own', async () => {
    const id = await submit('x', ['got@example.test', 'gone@example.test'])
    await putInState(house.db, id, 'partial')
    await sql`update poststelle.outbound_recipients set state = case ordinal when 1 then 'accepted' else 'rejected' end, reply = '550 no'
      where message_id = ${id}`.execute(house.db)
    await sql`update poststelle.outbound_messages set attempts = 9, expires_at = now() - interval '1 day' where id = ${id}`.execute(
      house.db,
    )
    expect(await change('retry', id)).toBeNull()
    const message = await show(id)
    expect(message).toMatchObject({
      state: 'queued',
      attempts: 0,
      finishedAt: null,
      recipients: [{ state: 'accepted' }, { state: 'deferred', reply: '550 no' }],
    })
    expect(message.expiresAt.getTime()).toBeGreaterThan(Date.now() + 4.9 * 86_400_000)
    await sql`update poststelle.outbound_messages set state = 'partial', finished_at = now() where id = ${id}`.execute(
      house.db,
    )
    await sql`update poststelle.outbound_recipients set state = 'accepted' where message_id = ${id}`.execute(house.db)
    expect(await change('retry', id)).toBe('finished')
  })

  test('what was handed over to some is not called cancelled', async () => {
    const id = await submit('x', ['got@example.test', 'busy@example.test'])
    await putInState(house.db, id, 'deferred')
    await sql`update poststelle.outbound_recipients set state = 'accepted' where message_id = ${id} and ordinal = 1`.execute(
      house.db,
    )
    expect(await change('cancel', id)).toBeNull()
    expect(await show(id)).toMatchObject({ state: 'partial', nextAttemptAt: null, finishedAt: expect.any(Date) })
  })

  test('of a message that is being repeated a copy may be out: it is not cancelled, and held it is uncertain', async () => {
    for (const state of ['sending', 'deferred', 'queued'] as const) {
      const id = await submit(`repeated-${state}`)
      await putInState(house.db, id, state)
      await sql`update poststelle.outbound_messages set repeated = true where id = ${id}`.execute(house.db)
      expect(await change('cancel', id)).toBe('uncertain')
      expect(await change('hold', id)).toBeNull()
      expect(await show(id)).toMatchObject({ state: 'uncertain', nextAttemptAt: null })
      expect(await change('hold', id)).toBe('already')
      expect(await change('resolve_sent', id)).toBeNull()
      expect(await show(id)).toMatchObject({
        state: 'sent',
        lastReply: 'taken as handed over by an operator',
        recipients: [{ state: 'accepted' }],
      })
    }
  })

  test('resolving: rejected recipients stay rejected, and a repeat is marked as one', async () => {
    const id = await submit('x', ['a@example.test', 'gone@example.test'])
    await putInState(house.db, id, 'uncertain')
    await sql`update poststelle.outbound_recipients set state = 'rejected' where message_id = ${id} and ordinal = 2`.execute(
      house.db,
    )
    expect(await change('resolve_resend', id)).toBeNull()
    const repeated = await show(id)
    expect(repeated).toMatchObject({ state: 'uncertain', repeated: true, messageId: '<x@out.example.test>' })
    expect(repeated.nextAttemptAt?.getTime()).toBeLessThanOrEqual(Date.now())
    expect(await change('resolve_sent', id)).toBeNull()
    expect(await show(id)).toMatchObject({
      state: 'partial',
      recipients: [{ state: 'accepted' }, { state: 'rejected' }],
    })
  })

  test('release keeps the time it was submitted for, and lets everything else go at once', async () => {
    const [later, now] = [await submit('later'), await submit('now')]
    await sql`update poststelle.outbound_messages set state = 'scheduled', next_attempt_at = now() + interval '1 day' where id = ${later}`.execute(
      house.db,
    )
    await putInState(house.db, now, 'deferred')
    await changeMessages(house.db, 'hold', [later, now])
    await changeMessages(house.db, 'release', [later, now])
    expect(await show(later)).toMatchObject({ state: 'scheduled' })
    expect((await show(later)).nextAttemptAt?.getTime()).toBeGreaterThan(Date.now() + 80_000_000)
    expect(await show(now)).toMatchObject({ state: 'queued', holdReason: null })
  })

  test('what may go at once rings the bell of its lane', async () => {
    const id = await submit('x')
    const heard: string[] = []
    const client = new pg.Client(house.database.url)
    await client.connect()
    client.on('notification', ({ payload }) => heard.push(payload ?? ''))
    await client.query('listen poststelle_bell')
    await change('hold', id)
    await change('release', id)
    await expect.poll(() => heard).toEqual([`send:${accountId}`])
    await client.end()
  })

  test('an application cancels by SQL: true, false where it was, and a sentence where it is too late', async () => {
    const cancel = async (id: number | null) =>
      (await sql<{ done: boolean }>`select poststelle.cancel_message(${id}) as done`.execute(house.db)).rows[0]?.done
    const [id, sent, unsure] = [await submit('1'), await submit('2'), await submit('3')]
    await putInState(house.db, sent, 'sent')
    await putInState(house.db, unsure, 'uncertain')
    const client = new pg.Client(house.database.url)
    await client.connect()
    await client.query('begin; set local role poststelle_app')
    await client.query('select poststelle.cancel_message($1)', [id])
    expect((await client.query('select poststelle.message_eta($1) as eta', [unsure])).rows).toEqual([
      { eta: expect.any(Date) },
    ])
    expect((await client.query('select count(*) from poststelle.outbox_attempts')).rowCount).toBe(1)
    await expect(client.query(`select poststelle.change_message($1, 'hold')`, [sent])).rejects.toThrow(
      /permission denied/,
    )
    await client.query('rollback')
    expect((await show(id)).state).toBe('queued')
    await client.end()
    expect(await cancel(id)).toBe(true)
    expect(await cancel(id)).toBe(false)
    await expect(cancel(sent)).rejects.toMatchObject({
      code: '55000',
      message: `id: message ${sent} cannot be cancelled any more: it is sent`,
    })
    await expect(cancel(unsure)).rejects.toThrow(/it may have been handed over/)
    await expect(cancel(999_999)).rejects.toMatchObject({ code: 'P0002' })
    await expect(cancel(null)).rejects.toThrow(/there is no message null/)
  })
})
