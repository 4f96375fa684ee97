// Row C24 of the fault matrix: what received mail says of mail that was sent. Reports bounce the recipients they name; reports and
// copies prove that a message whose outcome was unknown was taken; nothing that does not know the Message-ID is believed.

import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { numberOutboundEvents } from '../../../src/db/outbound-events.ts'
import { reparse } from '../../../src/db/parsing.ts'
import { parseLane } from '../../../src/retrieval/parse-lane.ts'
import { dsnCorpus, ORIGINAL_ID, RECIPIENT } from '../../support/dsn-corpus.ts'
import { row } from '../../support/figures.ts'
import { openInbound, type Inbound } from '../../support/inbound.ts'
import { eventsSince, mailThatIs, move, outboxRow, submitMail } from '../../support/outbound-life.ts'

const US = 'wir@example.test'
const OTHER = 'archiv@example.test'
const SECOND = 'zweiter@there.example'
const NEVER = new AbortController().signal

describe('reports and copies of our own mail', () => {
  let inbound: Inbound
  beforeAll(async () => {
    inbound = await openInbound({
      users: [US, OTHER],
      over: { smtp: { host: 'localhost', port: 1, security: 'none' } },
    })
  })
  afterAll(() => inbound.close())
  beforeEach(async () => {
    await sql`delete from poststelle.messages`.execute(inbound.house.db)
    await sql`delete from poststelle.outbound_messages`.execute(inbound.house.db)
    await sql`delete from poststelle.outbound_events`.execute(inbound.house.db)
  })

  /** Arrives in the maildrop, is retrieved and parsed. */
  async function receive(raw: Buffer, user = US): Promise<void> {
    inbound.box.maildrop(user).add(raw)
    expect((await inbound.poll(user)).failure).toBeUndefined()
    await parseLane(inbound.house, await inbound.house.lease(inbound.id(user), 'parse'), NEVER)
  }
  const reportOf = (group: string, messageId = ORIGINAL_ID): Buffer =>
    Buffer.from(
      `From: MAILER-DAEMON@mx.example.test\nTo: ${US}\nSubject: Undelivered Mail\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain\n\nleider\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.test\n\n${group}\n--b\nContent-Type: message/rfc822\n\nMessage-ID: ${messageId}\nFrom: ${US}\n\nText\n--b--\n`.replaceAll(
        '\n',
        '\r\n',
      ),
    )
  const failed = (recipient = RECIPIENT): string =>
    `Final-Recipient: rfc822; ${recipient}\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\n`
  const copy = (messageId = ORIGINAL_ID): Buffer =>
    Buffer.from(`Message-ID: ${messageId}\r\nFrom: ${US}\r\nTo: ${OTHER}\r\nSubject: Angebot\r\n\r\nText\r\n`)
  const ours = { account: US, to: [RECIPIENT], messageId: ORIGINAL_ID }
  const both = { ...ours, to: [RECIPIENT, SECOND] }
  const now = (id: number) => outboxRow(inbound.house.db, id)
  const states = async (id: number): Promise<string[]> => {
    const { state, recipients } = await now(id)
    return [state, ...recipients.map((each) => each.state)]
  }
  const events = async (): Promise<string[]> => {
    await numberOutboundEvents(inbound.house.db)
    return (await eventsSince(inbound.house.db, 0)).map(({ event, recipient }) =>
      recipient ? `${event} ${recipient}` : event,
    )
  }

  row(
    'C24',
    'a delivery report of any shape finds the mail it speaks of and bounces its recipient',
    { fast: true },
    async () => {
      const corpus = dsnCorpus().filter(({ reports }) => reports.length > 0)
      let linked = 0
      let told = 0
      for (const { name, raw, reports, originalMessageId } of corpus) {
        await sql`delete from poststelle.messages`.execute(inbound.house.db)
        await sql`delete from poststelle.outbound_messages`.execute(inbound.house.db)
        const to = [...new Set([RECIPIENT, ...reports.map(({ recipient }) => recipient)])]
        const id = await mailThatIs(
          inbound.house.db,
          { ...ours, to },
          'sent',
          to.map(() => 'accepted'),
        )
        await receive(raw)
        const { rows } = await sql<{ n: number }>`
        select count(*) as n from poststelle.inbox_delivery_reports where outbound_message_id = ${id}`.execute(
          inbound.house.db,
        )
        linked += (rows[0]?.n ?? 0) === reports.length ? 1 : 0
        // without the Message-ID it is shown beside the mail, and not believed
        const bounced = originalMessageId === null ? [] : reports.filter(({ action = 'failed' }) => action === 'failed')
        const expected = to.map((address) =>
          bounced.some(({ recipient }) => recipient === address) ? 'bounced' : 'accepted',
        )
        expect(
          (await now(id)).recipients.map(({ state }) => state),
          name,
        ).toEqual(expected)
        expect((await now(id)).state, name).toBe(
          !expected.includes('bounced') ? 'sent' : expected.includes('accepted') ? 'partial' : 'bounced',
        )
        told += bounced.length > 0 || reports.every(({ action }) => action !== 'failed') ? 1 : 0
      }
      expect(linked).toBe(corpus.length)
      return `${corpus.length} shapes: ${linked} linked, ${told} told what became of the mail, ${corpus.length - told} know no Message-ID and bounce nothing`
    },
  )

  test('the report is kept at the recipient: code, words and flag; and told once, however often it is read', async () => {
    const id = await mailThatIs(inbound.house.db, ours, 'sent', ['accepted'])
    await receive(reportOf(failed()))
    expect(await now(id)).toMatchObject({
      state: 'bounced',
      last_reply: '550 5.1.1 User unknown',
      recipients: [
        {
          state: 'bounced',
          reply_code: 550,
          enhanced_code: '5.1.1',
          reply: '550 5.1.1 User unknown',
          flag: 'recipient_rejected',
        },
      ],
    })
    const { rows } = await sql<{ id: number }>`select id from poststelle.inbox`.execute(inbound.house.db)
    await reparse(
      inbound.house.db,
      rows.map((each) => each.id),
      { raisedLimits: false },
    )
    await parseLane(inbound.house, await inbound.house.lease(inbound.id(), 'parse'), NEVER)
    await receive(reportOf(failed()))
    expect(await events()).toEqual(['sent', `bounced ${RECIPIENT}`, 'bounced'])
  })

  test('one of two bounces: the message is partial, and the other recipient stays accepted', async () => {
    const id = await mailThatIs(inbound.house.db, both, 'sent', ['accepted', 'accepted'])
    await receive(reportOf(failed(SECOND)))
    expect(await states(id)).toEqual(['partial', 'accepted', 'bounced'])
    await receive(reportOf(failed()))
    expect(await states(id)).toEqual(['bounced', 'bounced', 'bounced'])
    expect(await events()).toEqual(['sent', `bounced ${SECOND}`, 'partial', `bounced ${RECIPIENT}`, 'bounced'])
  })

  test('a message that is still under way keeps its state, and only the recipient that was accepted bounces', async () => {
    const id = await mailThatIs(inbound.house.db, both, 'deferred', ['accepted', 'deferred'])
    await receive(reportOf(`${failed()}\n${failed(SECOND)}`))
    expect(await states(id)).toEqual(['deferred', 'bounced', 'deferred'])
  })

  test.each([
    ['that another Message-ID was sent with', reportOf(failed(), '<guessed@out.example.test>'), 'sent'],
    ['about an address that we did not write to', reportOf(failed('fremder@there.example')), 'sent'],
    ['that says the mail is late', reportOf(failed().replace('Action: failed', 'Action: delayed')), 'sent'],
  ])('a report %s bounces nothing', async (_, raw, state) => {
    const id = await mailThatIs(inbound.house.db, both, 'sent', ['accepted', 'accepted'])
    await receive(raw)
    expect(await states(id)).toEqual([state, 'accepted', 'accepted'])
  })

  test.each([
    ['failed', 'rejected'],
    ['cancelled', 'accepted'],
  ] as const)('mail that is %s stays so', async (state, recipient) => {
    const id = await mailThatIs(inbound.house.db, ours, state, [recipient])
    await receive(reportOf(failed()))
    expect(await states(id)).toEqual([state, recipient])
  })

  test('a report is believed at the account that sent the mail, and at no other', async () => {
    const id = await mailThatIs(inbound.house.db, ours, 'sent', ['accepted'])
    await receive(reportOf(failed()), OTHER)
    expect(await states(id)).toEqual(['sent', 'accepted'])
  })

  test('a report is believed at the account that the envelope named for it', async () => {
    const id = await mailThatIs(inbound.house.db, { ...ours, envelopeFrom: OTHER }, 'sent', ['accepted'])
    await receive(reportOf(failed()), OTHER)
    expect(await states(id)).toEqual(['bounced', 'bounced'])
  })

  test('a report about an uncertain message proves that it was taken; where it failed, it bounced', async () => {
    const id = await mailThatIs(inbound.house.db, both, 'uncertain')
    await receive(reportOf(failed().replace('Action: failed', 'Action: delayed')))
    expect(await states(id)).toEqual(['sent', 'accepted', 'accepted'])
    expect(await now(id)).toMatchObject({
      last_reply: 'a delivery report came',
      last_flag: null,
      next_attempt_at: null,
    })
    const other = await mailThatIs(inbound.house.db, { ...both, messageId: '<2@out.example.test>' }, 'uncertain')
    await receive(reportOf(failed(), '<2@out.example.test>'))
    expect(await states(other)).toEqual(['partial', 'bounced', 'accepted'])
    expect(await events()).toEqual(['uncertain', 'sent', 'uncertain', 'sent', `bounced ${RECIPIENT}`, 'partial'])
  })

  test('a copy that comes to any account proves that an uncertain message was taken, and it is never repeated', async () => {
    const id = await mailThatIs(inbound.house.db, ours, 'uncertain')
    inbound.box.maildrop(OTHER).add(copy())
    await inbound.poll(OTHER)
    expect(await now(id)).toMatchObject({
      state: 'sent',
      last_reply: `a copy arrived at ${OTHER}`,
      next_attempt_at: null,
      recipients: [{ state: 'accepted', reply: `a copy arrived at ${OTHER}` }],
    })
    expect((await now(id)).finished_at).not.toBeNull()
  })

  test('evidence that was faster than the end of the attempt counts as well', async () => {
    const byCopy = await submitMail(inbound.house.db, ours)
    await move(inbound.house.db, byCopy, 'sending')
    await receive(copy(), OTHER)
    expect((await now(byCopy)).state).toBe('sending')
    await move(inbound.house.db, byCopy, 'uncertain')
    expect((await now(byCopy)).state).toBe('sent')

    const byReport = await submitMail(inbound.house.db, { ...ours, messageId: '<3@out.example.test>' })
    await move(inbound.house.db, byReport, 'sending')
    await receive(reportOf(failed(), '<3@out.example.test>'))
    await move(inbound.house.db, byReport, 'uncertain')
    expect(await states(byReport)).toEqual(['bounced', 'bounced'])
    expect(await events()).toEqual(['uncertain', 'sent', 'uncertain', 'sent', `bounced ${RECIPIENT}`, 'bounced'])
  })

  test('what is repeated at this moment, waits, or was held is left alone by a copy', async () => {
    const ids = []
    for (const [i, state] of (['sending', 'deferred', 'held'] as const).entries()) {
      const messageId = `<left-${i}@out.example.test>`
      ids.push(await mailThatIs(inbound.house.db, { ...ours, messageId }, state))
      await receive(copy(messageId), OTHER)
    }
    expect(await Promise.all(ids.map(async (id) => (await now(id)).state))).toEqual(['sending', 'deferred', 'held'])
  })

  test('a copy of an earlier attempt proves nothing for those who were deferred then', async () => {
    const id = await mailThatIs(inbound.house.db, { ...ours, to: [OTHER, SECOND] }, 'uncertain', [
      'accepted',
      'deferred',
    ])
    await receive(copy(), OTHER)
    expect(await states(id)).toEqual(['uncertain', 'accepted', 'deferred'])
  })

  test('of two messages with one Message-ID the copy proves the one that went to its account', async () => {
    const there = await mailThatIs(inbound.house.db, ours, 'uncertain')
    const here = await mailThatIs(inbound.house.db, { ...ours, to: [OTHER] }, 'uncertain')
    await receive(copy(), OTHER)
    expect([await states(there), await states(here)]).toEqual([
      ['uncertain', 'pending'],
      ['sent', 'accepted'],
    ])
  })

  test('a received message that is sent on under its own Message-ID is no evidence of itself', async () => {
    await receive(copy(), OTHER)
    const id = await mailThatIs(inbound.house.db, ours, 'uncertain')
    expect((await now(id)).state).toBe('uncertain')
  })
})
