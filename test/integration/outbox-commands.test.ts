// `poststelle outbox` on a real database, inside this process: what it prints in both languages, asks, changes and refuses.

import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { loadSlowDestinations } from '../../src/db/slow-destinations.ts'
import { submitMessage } from '../../src/db/submissions.ts'
import type { OutboundState } from '../../src/db/schema-outbound.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { outgoingMessage } from '../support/mail-world.ts'
import { putInState, waitingMail } from '../support/outbox-rows.ts'
import { programOn, type ProgramOptions, type RunProgram } from '../support/program.ts'

/** What no terminal may be given. */
const DANGEROUS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/
const HOSTILE = '451 \u001b[2J\u202e4.7.1 later\u0007'

describe('poststelle outbox', () => {
  let house: TestHouse
  let run: RunProgram
  let accountId = 0
  beforeAll(async () => {
    house = await openHouse()
    run = programOn(house)
    const accounts = await house.importAccounts([passwordAccount('a@example.test'), passwordAccount('b@example.test')])
    accountId = accounts[0]?.id ?? 0
  })
  afterAll(() => house.close())
  beforeEach(async () => {
    await sql`delete from poststelle.outbound_messages`.execute(house.db)
    await sql`update poststelle.lanes set due_at = null, parked_until = null`.execute(house.db)
  })

  const submit = async (
    name: string,
    state: OutboundState | 'handing_over' = 'queued',
    to = ['kunde@example.test'],
  ) => {
    const id = await submitMessage(house.db, {
      account: 'a@example.test',
      envelopeFrom: 'a@example.test',
      recipients: to,
      raw: outgoingMessage('a@example.test', to[0] ?? '', name),
      idempotencyKey: null,
    })
    if (state !== 'queued') await putInState(house.db, id, state)
    return id
  }
  const outbox = (args: string, o?: ProgramOptions) => run(['outbox', ...args.split(' ')], o)
  const states = async () =>
    Object.fromEntries(
      (await house.db.selectFrom('outbound_messages').select(['id', 'state']).execute()).map(({ id, state }) => [
        id,
        state,
      ]),
    )

  test('what was wrong in an argument is said without what steers a terminal', async () => {
    for (const args of ['list --account \u001b[2J', 'list --state \u001b[2J', 'show \u202e1', 'hold \u009b31m']) {
      const { code, err } = await outbox(args)
      expect([args, code === 0, DANGEROUS.test(err)]).toEqual([args, false, false])
    }
  })

  test('an empty outbox says how mail comes in, and a filter that finds nothing says so', async () => {
    expect((await outbox('list --lang en')).out).toMatch(/^No mail in the outbox yet\. .*"poststelle send"\.\n$/)
    expect((await outbox('list --lang de')).out).toMatch(/^Noch keine Post im Postausgang\. .*submit_message/)
    await submit('x')
    expect((await outbox('list --lang en --state failed')).out).toBe('No message fits these options.\n')
    expect((await outbox('list --lang de --to niemand.example')).out).toBe('Keine Nachricht passt zu diesen Angaben.\n')
  })

  test('the list is read in ten seconds: counts, states in words, when it goes, what the server said', async () => {
    await submit('wait', 'queued', ['kunde@example.test', 'b@example.test', 'c@example.test'])
    const deferred = await submit('later', 'deferred')
    await submit('done', 'sent')
    await submit('mine', 'held')
    await sql`update poststelle.outbound_messages set last_reply = ${HOSTILE}, subject = ${'Größe\u001b[31m '.repeat(9)} where id = ${deferred}`.execute(
      house.db,
    )
    const german = await outbox('list --lang de')
    expect(german).toMatchObject({ code: 0, err: '' })
    expect(german.out.split('\n')[0]).toBe('Wartet 1 · Zurückgestellt 1 · Angehalten (von Hand) 1 · Übergeben 1')
    expect(german.out).toMatch(/^NR\. +ALTER +KONTO +AN +ZUSTAND +GEHT +BETREFF$/m)
    expect(german.out).toMatch(/ a@example\.test +kunde@example\.test \(\+2\) +Wartet +geht gleich +Nr\. wait$/m)
    expect(german.out).toMatch(
      / Zurückgestellt +geht (?:\d\d\.\d\d\. )?\d\d:\d\d +Größe\?\[31m .*…\n {3}└ 451 \?\[2J\?4\.7\.1 later\?$/m,
    )
    expect(german.out).toMatch(/ Angehalten \(von Hand\) +Nr\. mine$/m)
    expect(german.out.replaceAll('\n', '')).not.toMatch(DANGEROUS)
    const english = await outbox('list --lang en')
    expect(english.out.split('\n')[0]).toBe('Waiting 1 · Deferred 1 · Held (by hand) 1 · Handed over 1')
    expect(english.out).toMatch(/ Waiting +goes now +Nr\. wait$/m)
    expect(english.out).toMatch(/ Deferred +goes (?:\d+ \w+ )?\d\d:\d\d +Größe/m)
  })

  test('a filter is in the words of the pages, and options narrow it further', async () => {
    const [held, other] = [await submit('Rechnung 1', 'held'), await submit('Angebot', 'held', ['x@anderswo.test'])]
    await submit('Rechnung 2')
    const listed = async (...args: string[]) => {
      const { out } = await run(['outbox', 'list', '--json', ...args])
      return (JSON.parse(out) as { messages: { id: number }[] }).messages.map(({ id }) => id)
    }
    expect(await listed('--filter', 'zustand:angehalten konto:a@example.test')).toEqual([other, held])
    expect(await listed('--filter', 'status:held an:anderswo.test')).toEqual([other])
    expect(await listed('--filter', 'status:held', '--subject', 'Rechnung')).toEqual([held])
    const refused = await outbox('list --filter status:kaputt')
    expect([refused.code, refused.err]).toEqual([
      2,
      expect.stringMatching(/^poststelle: filter: "kaputt" is not a state; there are scheduled, /),
    ])
    const { err, code } = await outbox('release --filter status:held --yes')
    expect([code, err]).toEqual([0, expect.stringContaining('2')])
  })

  test('JSON has everything, page by page', async () => {
    const ids = [await submit('1'), await submit('2', 'failed'), await submit('3', 'held')]
    const page = JSON.parse((await outbox('list --json --limit 2')).out) as Record<string, unknown>
    expect(page).toMatchObject({
      counts: [
        { state: 'queued', hold_reason: null, count: 1 },
        { state: 'held', hold_reason: 'manual', count: 1 },
        { state: 'failed', hold_reason: null, count: 1 },
      ],
      messages: [
        { id: ids[2], state: 'held', hold_reason: 'manual', eta: null, next_attempt_at: null },
        { id: ids[1], state: 'failed', recipient: 'kunde@example.test', recipient_count: 1 },
      ],
      next_after: ids[1],
    })
    const rest = JSON.parse((await outbox(`list --json --after ${ids[1]}`)).out) as object
    expect(rest).toMatchObject({ messages: [{ id: ids[0], eta: expect.any(String) }], next_after: null })
    expect((await outbox('list --lang de --limit 1')).out).toMatch(/\nältere: --after \d+\n$/)
  })

  test('one message is shown with recipients, attempts, and what its cause means', async () => {
    const id = await submit('x', 'failed', ['gone@example.test', 'b@example.test'])
    await sql`insert into poststelle.delivery_attempts (message_id, number, phase, finished_at, outcome, step, reply, flag, transcript) values
      (${id}, 1, 'claimed', now(), 'returned', 'auth', '454 later', null, 'S: 454 first'),
      (${id}, 2, 'claimed', now(), 'failed', 'rcpt', ${HOSTILE}, 'recipient_rejected', ${'C: RCPT\nS: 550 \u001b[2J'})`.execute(
      house.db,
    )
    await sql`update poststelle.outbound_recipients set reply = '550 5.1.1 no such user', flag = 'recipient_rejected'
      where message_id = ${id} and ordinal = 1`.execute(house.db)
    const german = await outbox(`show ${id} --lang de`)
    expect(german.out).toMatch(/^Zustand +Abgelehnt$/m)
    expect(german.out).toMatch(
      /^Empfänger\n +gone@example\.test +abgelehnt +recipient_rejected +550 5\.1\.1 no such user$/m,
    )
    expect(german.out).toMatch(/^ +1\. \d{4}-.* · vor dem Datenende \(auth\) · abgebrochen, zählt nicht · 454 later$/m)
    expect(german.out).toMatch(
      /^ +2\. .* · vor dem Datenende \(rcpt\) · abgelehnt · 451 .*\n {6}C: RCPT\n {6}S: 550 \?\[2J$/m,
    )
    expect(german.out).toMatch(/\[recipient_rejected\]\n.+\nZuständig: .+/)
    expect(german.out).not.toContain('454 first')
    expect(german.out.replaceAll('\n', '')).not.toMatch(DANGEROUS)
    expect((await outbox(`show ${id} --lang en --transcripts`)).out).toContain('S: 454 first')
    expect(JSON.parse((await outbox(`show ${id} --json`)).out)).toMatchObject({
      id,
      recipients: [
        { address: 'gone@example.test', state: 'rejected', flag: 'recipient_rejected' },
        { state: 'rejected' },
      ],
      delivery_attempts: [
        { number: 1, outcome: 'returned' },
        { number: 2, reply: HOSTILE },
      ],
      account_flags: [],
    })
  })

  test('an uncertain message explains itself, and a blocked account lends its cause', async () => {
    const id = await submit('x', 'uncertain')
    expect((await outbox(`show ${id} --lang de`)).out).toMatch(
      new RegExp(
        `noch einmal gesendet\\.\n  poststelle outbox resolve ${id} --sent .*\n.*--resend +erneut senden, kann doppelt ankommen\n$`,
      ),
    )
    await outbox(`hold ${id}`)
    expect((await outbox(`show ${id} --lang en`)).out).toContain('Nothing happens by itself any more.')
    const blocked = await submit('y')
    await sql`update poststelle.lanes set parked_until = now() + interval '1 hour' where lane = 'send'`.execute(
      house.db,
    )
    await sql`insert into poststelle.health_flags (account_id, direction, flag, scope, persistence, stage, evidence)
      values (${accountId}, 'send', 'smtp_auth_disabled_tenant', 'tenant', 'human', 'smtp', '535')`.execute(house.db)
    const shown = await outbox(`show ${blocked} --lang de`)
    expect(shown.out).toMatch(/^Zustand +Angehalten \(Konto gesperrt\), geht /m)
    expect(shown.out).toContain('[smtp_auth_disabled_tenant]')
  })

  test('messages are changed by their ids, and what is refused says why', async () => {
    const [one, two] = [await submit('1'), await submit('2', 'sent')]
    expect(await outbox(`hold ${one} --lang de`)).toEqual(
      expect.objectContaining({ code: 0, out: '1 Nachricht angehalten\n', err: '' }),
    )
    expect(await outbox(`release ${one} ${two} 999999 --lang de`)).toMatchObject({
      code: 3,
      out: `1 Nachricht freigegeben\n1 verweigert: ist abgeschlossen (${two})\n1 verweigert: gibt es nicht (999999)\n`,
      err: 'poststelle: 2 of 3 messages refused\n',
    })
    expect(await outbox(`cancel ${one} --lang en`)).toMatchObject({ code: 0, out: '1 message cancelled\n' })
    const again = await outbox(`cancel ${one} --json`)
    expect(again.code).toBe(3)
    expect(JSON.parse(again.out)).toEqual({
      change: 'cancel',
      changed: 0,
      changed_ids: [],
      refused: [{ reason: 'already', count: 1, ids: [one] }],
      left: 0,
    })
    expect(await states()).toEqual({ [one]: 'cancelled', [two]: 'sent' })
  })

  test('retry by id asks a parked lane once, by filter it does not', async () => {
    const id = await submit('x', 'deferred')
    const lane = async () =>
      (
        await sql<{ parked: boolean; due: boolean }>`select parked_until > now() as parked, due_at <= now() as due
        from poststelle.lanes where account_id = ${accountId} and lane = 'send'`.execute(house.db)
      ).rows[0]
    await sql`update poststelle.lanes set parked_until = now() + interval '1 hour'`.execute(house.db)
    expect((await outbox('retry --all --yes --lang en')).out).toBe('1 message due now\n')
    expect((await lane())?.parked).toBe(true)
    expect(await outbox(`retry ${id}`)).toMatchObject({ code: 0 })
    expect(await lane()).toEqual({ parked: null, due: true })
  })

  test('retry by id also asks a slow destination once, by filter it does not', async () => {
    const id = await submit('x', 'deferred', ['kunde@Slow.test'])
    await sql`insert into poststelle.slow_destinations (account_id, domain, failures, until) values
      (${accountId}, 'slow.test', 5, now() + interval '5 minutes'), (${accountId}, 'other.test', 5, now() + interval '5 minutes')`.execute(
      house.db,
    )
    const slow = async () => [...(await loadSlowDestinations(house.db, accountId, new Date())).keys()].toSorted()
    expect(await outbox('retry --all --yes')).toMatchObject({ code: 0 })
    expect(await slow()).toEqual(['other.test', 'slow.test'])
    expect(await outbox(`retry ${id}`)).toMatchObject({ code: 0 })
    expect(await slow()).toEqual(['other.test'])
  })

  test('a filter is counted first, and done only where it is confirmed', async () => {
    const ids = [await submit('1'), await submit('2', 'deferred'), await submit('3', 'sent'), await submit('4')]
    const nobody = await outbox('cancel --account a@example.test --lang de')
    expect(nobody).toMatchObject({ code: 2, out: '' })
    expect(nobody.err).toMatch(
      /^Stornieren: 3 Nachrichten \(1 Konto, älteste \d+ s\)\nWartet 2 · Zurückgestellt 1\n(?: {2}\d+ {2}a@example\.test {2}kunde@example\.test {2}Nr\. [124]\n){3}poststelle: 3 messages would be changed; --yes does it, nothing was changed\n$/,
    )
    const dry = await outbox('cancel --account a@example.test --dry-run --json')
    expect(JSON.parse(dry.out)).toMatchObject({
      change: 'cancel',
      dry_run: true,
      count: 3,
      accounts: 1,
      ids: [ids[0], ids[1], ids[3]],
    })
    expect(await outbox('cancel --all --lang en', { answers: ['yes'] })).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/Type the number 3 to go on: poststelle: not confirmed; nothing was changed\n$/),
    })
    expect(Object.values(await states())).not.toContain('cancelled')
    expect(await outbox('cancel --subject Nr. --lang en', { answers: ['3'] })).toMatchObject({
      code: 0,
      out: '3 messages cancelled\n',
    })
    expect(await outbox('cancel --all --yes --lang en')).toMatchObject({
      code: 0,
      out: '0 messages cancelled\n',
      err: 'No message that this could be done to.\n',
    })
  })

  test('sending once more warns that it may arrive twice, and asks', async () => {
    const id = await submit('x', 'uncertain')
    const asked = await outbox(`resolve ${id} --resend --lang de`)
    expect(asked).toMatchObject({ code: 2, out: '' })
    expect(asked.err).toMatch(/^Erneut senden, kann doppelt ankommen: 1 Nachricht /)
    expect(await outbox(`resolve ${id} --resend --lang de`, { answers: ['1'] })).toMatchObject({
      code: 0,
      out: '1 Nachricht zum erneuten Senden vorgemerkt\n',
    })
    expect(await outbox(`resolve ${id} --sent --lang en`)).toMatchObject({
      code: 0,
      out: '1 message taken as handed over\n',
    })
    expect(await states()).toEqual({ [id]: 'sent' })
  })

  test('many are changed batch by batch: Ctrl-C ends it behind a batch and says exactly what was done', async () => {
    await waitingMail(house.db, accountId, 1_700)
    const stopped = await outbox('hold --all --yes --lang de', {
      stopSignal: Promise.resolve('SIGINT'),
      errIsTTY: true,
    })
    expect(stopped).toMatchObject({ code: 1, out: '500 Nachrichten angehalten\n1200 übrig, nicht angefasst\n' })
    expect(stopped.err).toMatch(
      /\r\[#{7}\.{17}\] 500\/1700\r\u001b\[Kposts.*: of 1700 messages 500 changed, 0 refused, 1200 left\n$/,
    )
    const rest = await outbox('hold --all --yes --json')
    expect(rest.code).toBe(0)
    expect(rest.err).toMatch(/^500\/1200$/m)
    expect(JSON.parse(rest.out)).toMatchObject({ changed: 1_200, refused: [], left: 0 })
    const held = Object.values(await states()).filter((state) => state === 'held')
    expect(held).toHaveLength(1_700)
  })

  test.each([
    ['hold', 2, /give either ids of messages, or a filter such as --account, or --all/],
    ['hold 1 --all', 2, /give either ids/],
    ['hold 1 --state queued', 2, /give either ids/],
    ['hold x', 2, /"x" is not the id of a message/],
    ['list --state queued,lost', 2, /Allowed are scheduled, queued/],
    ['list --reason why', 2, /Allowed are manual/],
    ['list --account nobody@example.test', 1, /there is no account "nobody@example\.test"/],
    ['list --since once', 2, /It is a date such as/],
    ['show 999999', 1, /there is no message 999999; "poststelle outbox list"/],
    ['resolve 1', 2, /give --sent or --resend/],
    ['resolve 1 --sent --resend', 2, /cannot be used with/],
  ])('outbox %s: one clear sentence and the right exit code', async (args, code, sentence) => {
    const result = await outbox(args)
    expect(result.err).toMatch(sentence)
    expect(result).toMatchObject({ code, out: '' })
  })
})
