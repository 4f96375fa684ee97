import { sql } from 'kysely'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Stopping } from '../../src/base/failure.ts'
import { changeMessages } from '../../src/db/outbox-changes.ts'
import { claimLane } from '../../src/db/lanes.ts'
import { recoverAbandoned } from '../../src/db/outbound.ts'
import { submitMessage, submitParts } from '../../src/db/submissions.ts'
import { drainLane } from '../../src/delivery/drain-lane.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { outgoingMessage } from '../support/mail-world.ts'
import { waitingMail } from '../support/outbox-rows.ts'
import { startScriptedSmtp, type ScriptedSmtp, type SmtpScript } from '../support/scripted-smtp.ts'

const SENDER = 'office@example.test'
const EXTENSIONS = ['PIPELINING', 'SIZE 157286400', '8BITMIME', 'ENHANCEDSTATUSCODES', 'AUTH PLAIN']
let house: TestHouse
let server: ScriptedSmtp | undefined
let accountId = 0

beforeEach(async () => {
  house = await openHouse()
})
afterEach(async () => {
  await house.close()
  await server?.stop()
})

async function open(script: SmtpScript = {}, over: object = {}): Promise<ScriptedSmtp> {
  server = await startScriptedSmtp({ extensions: EXTENSIONS, ...script })
  const smtp = { host: server.endpoint.host, port: server.endpoint.port, security: 'none' }
  const [account] = await house.importAccounts([passwordAccount(SENDER, { pop3: undefined, smtp, ...over })])
  accountId = account?.id ?? 0
  return server
}

async function submit(name: string, over: { from?: string; to?: string[]; priority?: number } = {}): Promise<number> {
  const { from = SENDER, to = ['kunde@example.test'], priority = 0 } = over
  const id = await submitMessage(house.db, {
    account: SENDER,
    envelopeFrom: from,
    recipients: to,
    raw: outgoingMessage(from, to[0] ?? '', name),
    idempotencyKey: null,
  })
  await sql`update poststelle.outbound_messages set priority = ${priority} where id = ${id}`.execute(house.db)
  return id
}

const drain = async (signal = new AbortController().signal) =>
  await drainLane(house, await house.lease(accountId, 'send'), signal)

const outbox = async (id: number) =>
  (
    await sql<{
      state: string
      attempts: number
      repeated: boolean
      next_attempt_at: Date | null
    }>`select * from poststelle.outbox where id = ${id}`.execute(house.db)
  ).rows[0]

const states = async () =>
  (
    await sql<{
      state: string
      n: number
    }>`select state, count(*) as n from poststelle.outbound_messages group by state order by state`.execute(house.db)
  ).rows

const subjects = () => server?.seen.messages.map(({ bytes }) => /^Subject: Nr. (.*)\r$/m.exec(bytes.toString())?.[1])

test('much mail goes over several connections, each message once', async () => {
  const { seen } = await open()
  await Promise.all(Array.from({ length: 200 }, (_, i) => submit(`bulk-${i}`)))
  expect(await drain()).toEqual({ attempted: 200 })
  expect(await states()).toEqual([{ state: 'sent', n: 200 }])
  expect(new Set(subjects()).size).toBe(200)
  expect(seen.messages).toHaveLength(200)
  expect(seen.connections).toBeGreaterThan(1)
  expect(seen.connections).toBeLessThanOrEqual(5)
})

test('the next message goes over the connection of the one before, without another login', async () => {
  const { seen } = await open()
  await submit('one')
  await drain()
  await submit('two')
  await drain()
  expect(seen).toMatchObject({ connections: 1, open: 1 })
  expect(seen.commands.filter((line) => line.startsWith('AUTH'))).toHaveLength(1)
  expect(seen.messages).toHaveLength(2)
})

test('a kept connection that the server has closed costs the next message nothing', async () => {
  let closing = false
  const script = (line: string) => {
    if (!closing || !line.startsWith('MAIL')) return undefined
    closing = false
    return { end: 'close' } as const
  }
  const { seen } = await open({ answer: script })
  await submit('one')
  await drain()
  closing = true
  const id = await submit('two')
  expect(await drain()).toEqual({ attempted: 1 })
  expect(await outbox(id)).toMatchObject({ state: 'sent', attempts: 1 })
  expect(seen).toMatchObject({ connections: 2 })
})

test('nor does it where the message before was refused', async () => {
  let closing = false
  const script = (line: string) => {
    if (line.includes('<nobody@')) return '550 5.1.1 no such user'
    if (!closing || !line.startsWith('MAIL')) return undefined
    closing = false
    return { end: 'close' } as const
  }
  const { seen } = await open({ answer: script })
  await submit('refused', { to: ['nobody@example.test'] })
  await drain()
  closing = true
  const id = await submit('two')
  expect(await drain()).toEqual({ attempted: 1 })
  expect(await outbox(id)).toMatchObject({ state: 'sent', attempts: 1 })
  expect(seen).toMatchObject({ connections: 2 })
})

test('a server that takes no second connection gets the mail over the first', async () => {
  let busy = 0
  const script = (line: string) => {
    if (line === '(greeting)') return (busy += 1) > 1 ? '421 4.3.2 too many connections' : undefined
    return undefined
  }
  await open({ answer: script })
  await Promise.all(Array.from({ length: 60 }, (_, i) => submit(`narrow-${i}`)))
  expect(await drain()).toEqual({ attempted: 60 })
  expect(await states()).toEqual([{ state: 'sent', n: 60 }])
})

test('what is urgent overtakes what was there before', async () => {
  let urgent: Promise<number> | undefined
  const script = (line: string) => {
    if (line === '.' && !urgent) urgent = submit('urgent', { priority: 50 })
    return undefined
  }
  await open({ answer: script })
  await Promise.all(Array.from({ length: 150 }, (_, i) => submit(`bulk-${i}`)))
  await drain()
  const place = subjects()?.indexOf('urgent') ?? -1
  expect(place).toBeGreaterThan(0)
  expect(place).toBeLessThan(100)
})

test('a message whose sender is refused waits and is told of, and the others go', async () => {
  await open({
    answer: (line) =>
      line.startsWith('MAIL FROM:<boss@')
        ? '550 5.7.60 SMTP; Client does not have permissions to send as this sender'
        : undefined,
  })
  const denied = await submit('denied', { from: 'boss@example.test' })
  const fine = await submit('fine')
  expect(await drain()).toEqual({ attempted: 2 })
  expect(await outbox(fine)).toMatchObject({ state: 'sent' })
  expect(await outbox(denied)).toMatchObject({ state: 'queued', attempts: 0 })
  const flags = async () =>
    (
      await sql`select flag from poststelle.health_flags where account_id = ${accountId} and cleared_at is null`.execute(
        house.db,
      )
    ).rows
  expect(await flags()).toEqual([{ flag: 'send_as_denied' }])
  await submit('another')
  await drain()
  expect(await flags()).toEqual([{ flag: 'send_as_denied' }])
  await sql`update poststelle.outbound_messages set envelope_from = ${SENDER}, next_attempt_at = now() where id = ${denied}`.execute(
    house.db,
  )
  await drain()
  expect(await outbox(denied)).toMatchObject({ state: 'sent', attempts: 1 })
  expect(await flags()).toEqual([])
})

test('an attempt that somebody ended before its final dot is not made, and the message is left alone', async () => {
  const withdraw = async (id: number) =>
    await house.db.transaction().execute(async (tx) => {
      await sql`update poststelle.delivery_attempts set finished_at = now(), outcome = 'returned', reply = 'withdrawn'
        where message_id = ${id} and finished_at is null and phase = 'claimed'`.execute(tx)
      await sql`update poststelle.outbound_messages set state = 'cancelled', finished_at = now(), next_attempt_at = null
        where id = ${id}`.execute(tx)
    })
  let withdrawing: Promise<void> | undefined
  const { seen } = await open({
    answer: (line) => {
      if (line !== 'DATA' || withdrawing) return undefined
      withdrawing = withdraw(first)
      return {}
    },
  })
  const first = await submit('withdrawn')
  const second = await submit('stays')
  const draining = drain()
  await server?.waitFor(() => seen.commands.includes('DATA'))
  await withdrawing
  server?.say('354 go ahead')
  await draining
  await drain()
  expect(await outbox(first)).toMatchObject({ state: 'cancelled' })
  expect(await outbox(second)).toMatchObject({ state: 'sent' })
  expect(subjects()).toEqual(['stays'])
})

test('what a stopped service had claimed waits on in its old place', async () => {
  const stop = new AbortController()
  const { seen } = await open({
    answer: (line) => {
      if (line === '.' && seen.messages.length === 10) stop.abort(new Stopping('the service is stopping'))
      return undefined
    },
  })
  const ids = await Promise.all(Array.from({ length: 40 }, (_, i) => submit(`bulk-${i}`)))
  const before = new Map(await Promise.all(ids.map(async (id) => [id, (await outbox(id))?.next_attempt_at] as const)))
  await drain(stop.signal)
  const rows = await Promise.all(ids.map(async (id) => ({ id, ...(await outbox(id)) })))
  const waiting = rows.filter(({ state }) => state === 'queued')
  expect(waiting.length + seen.messages.length).toBe(40)
  for (const { id, attempts, next_attempt_at } of waiting) {
    expect(attempts).toBe(0)
    expect(next_attempt_at).toEqual(before.get(id))
  }
})

test('an outcome that the database could not take is written when it can, and no message is sent again', async () => {
  await open()
  await sql`create sequence poststelle.refusals`.execute(house.db)
  await sql`create function poststelle.refuse_once() returns trigger language plpgsql as $$
    begin
      if nextval('poststelle.refusals') = 1 then raise exception using errcode = 'deadlock_detected'; end if;
      return new;
    end $$`.execute(house.db)
  await sql`create trigger refuse_once before update of finished_at on poststelle.delivery_attempts
    for each row execute function poststelle.refuse_once()`.execute(house.db)
  const id = await submit('settled late')
  expect(await drain()).toEqual({ attempted: 1 })
  expect(await outbox(id)).toMatchObject({ state: 'sent', attempts: 1, repeated: false })
})

test('mail to a slow destination is put off many at a time, and what is behind it goes', async () => {
  const { seen } = await open()
  await waitingMail(house.db, accountId, 2_000)
  await sql`insert into poststelle.slow_destinations (account_id, domain, failures, until)
    values (${accountId}, 'example.test', 3, now() + interval '5 minutes')`.execute(house.db)
  await sql`create sequence poststelle.updates`.execute(house.db)
  await sql`create function poststelle.count_update() returns trigger language plpgsql as $$
    begin perform nextval('poststelle.updates'); return null; end $$`.execute(house.db)
  await sql`create trigger count_update after update of next_attempt_at on poststelle.outbound_messages
    for each statement execute function poststelle.count_update()`.execute(house.db)
  const id = await submit('behind', { to: ['kunde@other.test'] })
  expect(await drain()).toEqual({ attempted: 1 })
  expect(await outbox(id)).toMatchObject({ state: 'sent' })
  expect(seen.messages).toHaveLength(1)
  const { rows } = await sql<{ n: number }>`select last_value as n from poststelle.updates`.execute(house.db)
  expect(rows[0]?.n).toBeLessThan(20)
})

test('a message that is damaged in the database does not go, and those behind it do', async () => {
  const { seen } = await open()
  const raw = await submit('damaged')
  await sql`update poststelle.outbound_bodies set bytes = substring(bytes for 20) where message_id = ${raw}`.execute(
    house.db,
  )
  const content = Buffer.from('some words').toString('base64')
  const parts = { from: SENDER, to: ['kunde@example.test'], attachments: [{ filename: 'a.txt', content }] }
  const draft = await submitParts(house.db, {
    account: SENDER,
    parts,
    idempotencyKey: null,
    sendAfter: null,
    priority: 0,
  })
  await sql`delete from poststelle.outbound_draft_attachments where message_id = ${draft}`.execute(house.db)
  const fine = await submit('fine')
  expect(await drain()).toEqual({ attempted: 3 })
  expect(await outbox(raw)).toMatchObject({ state: 'deferred', last_reply: expect.stringContaining('has 20 bytes') })
  expect(await outbox(draft)).toMatchObject({ state: 'failed', last_reply: expect.stringContaining('has 0 bytes') })
  expect(await outbox(fine)).toMatchObject({ state: 'sent' })
  expect(seen.taken).toHaveLength(1)
})

test('of many messages that are cancelled while they are claimed only the one under way costs its connection', async () => {
  const ids: number[] = []
  let offered = 0
  const { seen } = await open(
    {
      before: async (line) => {
        if (line === 'DATA' && (offered += 1) === 20) await changeMessages(house.db, 'cancel', ids)
      },
    },
    { sending: { connections: 1 } },
  )
  for (let i = 0; i < 60; i++) ids.push(await submit(`bulk-${i}`))
  await drain()
  expect(await states()).toEqual([
    { state: 'cancelled', n: 41 },
    { state: 'sent', n: 19 },
  ])
  expect(seen).toMatchObject({ connections: 1 })
})

test('a turn ends when the operator switches the account off, and no other begins', async () => {
  let sent = 0
  const { seen } = await open(
    {
      before: async (line) => {
        if (line === '.' && (sent += 1) === 10)
          await sql`update poststelle.accounts set enabled_send = false where id = ${accountId}`.execute(house.db)
      },
    },
    { sending: { connections: 1 } },
  )
  for (let i = 0; i < 80; i++) await submit(`bulk-${i}`)
  await drain()
  expect(seen.messages.length).toBeLessThan(40)
  expect(await states()).toEqual([
    { state: 'queued', n: 80 - seen.messages.length },
    { state: 'sent', n: seen.messages.length },
  ])
  await sql`update poststelle.lanes set due_at = now() where account_id = ${accountId}`.execute(house.db)
  expect(await claimLane(house.db, { accountId, lane: 'send' }, house.workerId)).toBeUndefined()
})

test('of more recipients than go at once each is asked once before those that were deferred are asked again', async () => {
  const asked: Record<string, number> = {}
  await open(
    {
      answer: (line) => {
        const [, name = ''] = /^RCPT TO:<(.*)@/.exec(line) ?? []
        if (name !== '') asked[name] = (asked[name] ?? 0) + 1
        return ['a', 'b', 'd'].includes(name) ? '451 4.7.1 greylisted' : undefined
      },
    },
    { sending: { recipients_per_message: 2 } },
  )
  const id = await submit('many', { to: ['a', 'b', 'c', 'd', 'e'].map((name) => `${name}@${name}.test`) })
  const drainWhileDue = async () => {
    await sql`update poststelle.outbound_messages set next_attempt_at = now()`.execute(house.db)
    for (let turn = 0; turn < 10 && (turn === 0 || (await outbox(id))?.state === 'queued'); turn++) await drain()
  }
  await drainWhileDue()
  expect(asked).toEqual({ a: 1, b: 1, c: 1, d: 1, e: 1 })
  expect(await outbox(id)).toMatchObject({ state: 'deferred', attempts: 1 })
  await drainWhileDue()
  expect(asked).toEqual({ a: 2, b: 2, c: 1, d: 1, e: 1 })
  await drainWhileDue()
  // those that have waited longest come first
  expect(asked).toEqual({ a: 3, b: 2, c: 1, d: 2, e: 1 })
  expect(await outbox(id)).toMatchObject({ state: 'deferred', attempts: 3 })
})

test('what a lost worker had in a lane that is parked does not stay with it', async () => {
  await open()
  const [claimed, gone, held] = [await submit('claimed'), await submit('gone'), await submit('held')]
  await sql`update poststelle.outbound_messages set state = 'sending', attempts = 1`.execute(house.db)
  await sql`insert into poststelle.delivery_attempts (message_id, number, phase)
    values (${claimed}, 1, 'claimed'), (${gone}, 1, 'handing_over'), (${held}, 1, 'handing_over')`.execute(house.db)
  const lease = await house.lease(accountId, 'send')
  expect(await recoverAbandoned(house.db)).toEqual({ uncertain: 0, returned: 0 })
  await sql`update poststelle.lanes set lease_until = now(), parked_until = now() + interval '4 hours'
    where account_id = ${lease.accountId} and lane = 'send'`.execute(house.db)
  expect(await recoverAbandoned(house.db)).toEqual({ uncertain: 2, returned: 1 })
  expect(await states()).toEqual([
    { state: 'queued', n: 1 },
    { state: 'uncertain', n: 2 },
  ])
})
