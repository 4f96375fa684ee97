// Cancelling and holding while the message is on its way: refused or honoured, never both.

import { setImmediate as turn } from 'node:timers/promises'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { errorCode } from '../../../src/base/failure.ts'
import { changeMessages } from '../../../src/db/outbox-changes.ts'
import { submitMessage } from '../../../src/db/submissions.ts'
import { drainLane } from '../../../src/delivery/drain-lane.ts'
import { row, sized } from '../../support/figures.ts'
import { openHouse, passwordAccount } from '../../support/house.ts'
import { outgoingMessage } from '../../support/mail-world.ts'
import { startScriptedSmtp } from '../../support/scripted-smtp.ts'

const USER = 'absender@example.test'
/** Where the server is when the change sets off: from the first word about the message to its final dot. */
const STEPS = ['MAIL', 'RCPT', 'DATA', '.'] as const
/** Turns of the event loop between that and the change: up to about as many as the dialogue has left. */
const MOST_TURNS = 24

row(
  'C18',
  'a message is cancelled or held while it is being handed over: refused or honoured, never both, and the next one goes out',
  { fast: true },
  async () => {
    const rounds = sized(100, 1_000)
    let reached = Promise.withResolvers<void>()
    let step: string = 'none'
    const server = await startScriptedSmtp({
      answer: (command) => {
        if (command.startsWith(step)) reached.resolve()
        return undefined
      },
    })
    const house = await openHouse()
    try {
      const { host, port, security } = server.endpoint
      const smtp = { host, port, security }
      const [account] = await house.importAccounts([passwordAccount(USER, { pop3: null, smtp })])
      const accountId = account?.id ?? 0
      const submit = (name: string) =>
        submitMessage(house.db, {
          account: USER,
          envelopeFrom: USER,
          recipients: ['kunde@example.test'],
          raw: outgoingMessage(USER, 'kunde@example.test', name),
          idempotencyKey: null,
        })
      const copies = (name: string) =>
        server.seen.messages.filter(({ bytes }) => bytes.includes(`<${name}@out.example.test>`)).length
      const stateOf = async (id: number) =>
        (
          await house.db
            .selectFrom('outbound_messages')
            .select(['state', 'attempts', 'finished_at'])
            .where('id', '=', id)
            .executeTakeFirst()
        )?.state
      /** As an application does it, in a transaction that stays open for some turns. */
      const cancelSlowly = async (id: number, turns: number): Promise<boolean> =>
        await house.db
          .transaction()
          .execute(async (tx) => {
            await sql`select poststelle.cancel_message(${id})`.execute(tx)
            for (let n = 0; n < turns; n++) await turn()
            return true
          })
          .catch((error: unknown) => {
            if (errorCode(error) === '55000') return false
            throw error
          })
      const change = async (round: number, id: number): Promise<boolean> => {
        await reached.promise
        for (let n = round % MOST_TURNS; n > 0; n--) await turn()
        if (round % 3 === 2) return await cancelSlowly(id, round % 50)
        const [result] = await changeMessages(house.db, round % 3 === 0 ? 'cancel' : 'hold', [id])
        return result?.refusal === undefined
      }

      let honoured = 0
      for (let round = 0; round < rounds; round++) {
        reached = Promise.withResolvers()
        step = STEPS[Math.floor(round / 3) % STEPS.length] ?? '.'
        const [mine, next] = [`mine-${round}`, `next-${round}`]
        const [id, nextId] = [await submit(mine), await submit(next)]
        const drained = drainLane(house, await house.lease(accountId, 'send'), AbortSignal.timeout(60_000))
        const [done] = await Promise.all([change(round, id), drained])
        const outcome = done ? (round % 3 === 1 ? 'held' : 'cancelled') : 'sent'
        expect({ round, step, state: await stateOf(id), copies: copies(mine) }).toEqual({
          round,
          step,
          state: outcome,
          copies: done ? 0 : 1,
        })
        expect({ round, next: await stateOf(nextId), copies: copies(next) }).toEqual({ round, next: 'sent', copies: 1 })
        if (done) honoured += 1
      }
      const { rows } = await sql<{ open: number }>`select count(*)::int as open from poststelle.delivery_attempts
        where finished_at is null`.execute(house.db)
      expect(rows[0]?.open).toBe(0)
      // a race that always ends alike is none
      expect(honoured).toBeGreaterThan(0)
      expect(honoured).toBeLessThan(rounds)
      return `${rounds} rounds: ${honoured} honoured with 0 copies, ${rounds - honoured} refused with 1 copy, both 0`
    } finally {
      await server.stop()
      await house.close()
    }
  },
)
