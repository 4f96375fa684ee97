import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { drainLane } from '../../src/delivery/drain-lane.ts'
import { submitMessage } from '../../src/db/submissions.ts'
import { openHouse, type TestHouse } from '../support/house.ts'
import { outgoingMessage, startMailWorld, type MailWorld } from '../support/mail-world.ts'

describe('sending through a real Postfix', () => {
  let world: MailWorld
  let house: TestHouse
  const ids = new Map<string, number>()
  beforeAll(async () => {
    world = await startMailWorld({
      oauthAccounts: 1,
      passwordAccounts: 1,
      postfix: {
        recipientReplies: {
          'gone@example.test': '550 5.1.1 No such user',
          'busy@example.test': '451 4.7.1 Greylisted, try again in 300 seconds',
        },
      },
    })
    house = await openHouse({ caPem: world.pki.ca })
    for (const { email, id } of await house.importAccounts([...world.accounts])) ids.set(email, id)
  })
  afterAll(async () => {
    await house.close()
    await world.stop()
  })

  const drain = async (email: string) =>
    await drainLane(house, await house.lease(ids.get(email) ?? 0, 'send'), new AbortController().signal)
  const submit = (from: string, id: string, to = ['kunde@example.test']) =>
    submitMessage(house.db, {
      account: from,
      envelopeFrom: from,
      recipients: to,
      raw: outgoingMessage(from, to[0] ?? '', id),
      idempotencyKey: null,
    })
  const outbox = async (id: number) =>
    (
      await sql<{
        state: string
        attempts: number
        next_attempt_at: Date | null
        last_reply: string | null
      }>`select * from poststelle.outbox where id = ${id}`.execute(house.db)
    ).rows[0]
  const recipients = async (id: number) =>
    (
      await sql`select address, state, reply_code, enhanced_code from poststelle.outbox_recipients where message_id = ${id} order by address`.execute(
        house.db,
      )
    ).rows
  const arrived = (id: string) =>
    world.postfix.delivered().filter(({ messageId }) => messageId === `<${id}@out.example.test>`)

  test.each(['oauth1@example.test', 'plain1@example.test'])(
    '%s: what was accepted arrives once, with the bytes that were given',
    async (email) => {
      const numbers = Array.from({ length: 25 }, (_, i) => `${email.slice(0, 5)}-${i}`)
      const accepted: number[] = []
      for (const number of numbers) accepted.push(await submit(email, number))
      expect(await drain(email)).toEqual({ attempted: 25 })
      for (const id of accepted) expect(await outbox(id)).toMatchObject({ state: 'sent', attempts: 1 })
      await expect
        .poll(() => numbers.filter((number) => arrived(number).length === 1).length, { timeout: 20_000 })
        .toBe(25)
      const [first] = arrived(numbers[0] ?? '')
      expect(
        first?.raw
          .toString('latin1')
          .endsWith(outgoingMessage(email, 'kunde@example.test', numbers[0] ?? '').toString('latin1')),
      ).toBe(true)
      expect(first?.from).toBe(email)
    },
  )

  test('each recipient has its own outcome: accepted, refused for good, deferred as long as the server asks', async () => {
    const id = await submit('plain1@example.test', 'mixed', [
      'kunde@example.test',
      'gone@example.test',
      'busy@example.test',
    ])
    await drain('plain1@example.test')
    expect(await recipients(id)).toEqual([
      { address: 'busy@example.test', state: 'deferred', reply_code: 451, enhanced_code: '4.7.1' },
      { address: 'gone@example.test', state: 'rejected', reply_code: 550, enhanced_code: '5.1.1' },
      { address: 'kunde@example.test', state: 'accepted', reply_code: 250, enhanced_code: '2.1.5' },
    ])
    const row = await outbox(id)
    expect(row).toMatchObject({ state: 'deferred', attempts: 1 })
    expect(row?.next_attempt_at?.getTime()).toBeGreaterThan(Date.now() + 290_000)
    expect(row?.next_attempt_at?.getTime()).toBeLessThan(Date.now() + 420_000)
    await sql`update poststelle.outbound_messages set next_attempt_at = now(), expires_at = now() where id = ${id}`.execute(
      house.db,
    )
    await drain('plain1@example.test')
    await expect.poll(() => arrived('mixed').length, { timeout: 20_000 }).toBe(1)
  })

  test('a message that nobody wants has failed, and says why', async () => {
    const id = await submit('plain1@example.test', 'unwanted', ['gone@example.test'])
    await drain('plain1@example.test')
    expect(await outbox(id)).toMatchObject({ state: 'failed', next_attempt_at: null })
    const attempts = await sql<{
      outcome: string
      transcript: string
    }>`select outcome, transcript from poststelle.delivery_attempts where message_id = ${id}`.execute(house.db)
    expect(attempts.rows[0]?.outcome).toBe('failed')
    expect(attempts.rows[0]?.transcript).toContain('550 5.1.1')
    expect(attempts.rows[0]?.transcript).not.toContain(world.dovecot.password)
  })

  test('a wrong password holds the mail, costs it no attempt, and the mail goes out once the password is right', async () => {
    await house.importAccounts([{ ...world.accounts[1], auth: { type: 'password', password: 'wrong' } }])
    const id = await submit('plain1@example.test', 'patient')
    const { failure } = await drain('plain1@example.test')
    expect(failure?.step).toBe('auth')
    expect(await outbox(id)).toMatchObject({ state: 'held', hold_reason: 'account_blocked', attempts: 0 })
    await house.importAccounts([world.accounts[1] ?? {}])
    expect(await drain('plain1@example.test')).toEqual({ attempted: 1 })
    expect(await outbox(id)).toMatchObject({ state: 'sent', attempts: 1 })
    const { rows } =
      await sql`select send_state, flags from poststelle.account_status where email = 'plain1@example.test'`.execute(
        house.db,
      )
    expect(rows[0]).toEqual({ send_state: 'ok', flags: [] })
  })

  test('a message whose sender process died after the final dot may have left is uncertain, before it waits again', async () => {
    const id = await submit('plain1@example.test', 'orphan-1')
    const other = await submit('plain1@example.test', 'orphan-2')
    await sql`update poststelle.outbound_messages set state = 'sending', attempts = 1 where id in (${id}, ${other})`.execute(
      house.db,
    )
    await sql`insert into poststelle.delivery_attempts (message_id, number, phase) values (${id}, 1, 'handing_over'), (${other}, 1, 'claimed')`.execute(
      house.db,
    )
    await drain('plain1@example.test')
    expect(await outbox(id)).toMatchObject({ state: 'uncertain' })
    expect(await outbox(other)).toMatchObject({ state: 'sent', attempts: 1 })
    expect(arrived('orphan-1')).toHaveLength(0)
    await sql`update poststelle.outbound_messages set next_attempt_at = now() where id = ${id}`.execute(house.db)
    await drain('plain1@example.test')
    const { rows } = await sql`select state, repeated from poststelle.outbox where id = ${id}`.execute(house.db)
    expect(rows[0]).toEqual({ state: 'sent', repeated: true })
  })
})
