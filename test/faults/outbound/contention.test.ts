// Two workers and one lane: one of them stands still, loses its lease, and goes on.

import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { LeaseLost } from '../../../src/base/failure.ts'
import { EVIDENCE_WAIT_MS } from '../../../src/delivery/redelivery.ts'
import { FULL, row, sized } from '../../support/figures.ts'
import { withOutbound, type Outbound, type Sender } from '../../support/outbound.ts'
import { UNHARMED } from '../../support/outbound-oracle.ts'
import { openSendRig } from '../../support/send-kills.ts'

const STEPS = ['(greeting)', 'AUTH', 'MAIL', 'RCPT', 'DATA', '.'] as const

/** The first worker waits at this step for as long as the second needs for its whole turn. */
async function theft({ house, sender }: Outbound, step: (typeof STEPS)[number], extensions: string[]): Promise<string> {
  let first = true
  const reached = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const lane: Sender = await sender({
    extensions: [...extensions, 'AUTH PLAIN LOGIN'],
    before: async (command) => {
      if (!first || !command.startsWith(step)) return
      first = false
      reached.resolve()
      await goOn.promise
    },
  })
  const id = await lane.submit('eins')
  const slow = lane.drain().then(
    () => 'went on',
    (error: unknown) => {
      if (error instanceof LeaseLost) return 'fenced'
      throw error
    },
  )
  await reached.promise
  await sql`update poststelle.lanes set lease_until = now() - interval '1 second' where account_id = ${lane.id} and lane = 'send'`.execute(
    house.db,
  )
  await lane.drain()
  // what may have left is in doubt, everything else is sent by now
  const between = await lane.row(id)
  expect([step, between.state]).toEqual([step, step === '.' ? 'uncertain' : 'sent'])
  if (step === '.') expect(between.next_attempt_at?.getTime()).toBeGreaterThan(Date.now() + EVIDENCE_WAIT_MS - 120_000)
  goOn.resolve()
  const outcome = await slow
  // the reply that came after all settles the doubt
  expect([step, await lane.row(id)]).toMatchObject([step, { state: 'sent', repeated: false }])
  expect([step, lane.copies('eins')]).toEqual([step, 1])
  return outcome
}

row(
  'C17',
  'a worker loses its lease at any step and goes on: another has the lane, and no copy is doubled',
  { fast: true },
  () =>
    withOutbound({}, async (outbound) => {
      let fenced = 0
      for (const extensions of [[], ['PIPELINING']])
        for (const step of STEPS) if ((await theft(outbound, step, extensions)) === 'fenced') fenced += 1
      return `copies 1 in each of ${2 * STEPS.length} thefts, ${fenced} ended by the fence`
    }),
)

const STANDSTILL_MS = 45_000

row(
  'C17b',
  'one of two processes stands still in the middle of sending, and goes on: no copy doubled',
  { fast: true },
  async () => {
    const rounds = sized(2, 6)
    const rig = await openSendRig({ accounts: 1 })
    const { db } = rig.database
    try {
      let frozen = await rig.start()
      let before = 0
      let after = 0
      for (let n = 0; n < rounds; n++) {
        // before the message has left, or when its dot has
        const point = n % 2 === 0 ? 'DATA' : '.'
        let passes = 0
        let stopped = false
        rig.hooks = {
          before: (command) => {
            if (stopped || command !== point || ++passes < 20) return
            stopped = true
            frozen.child.kill('SIGSTOP')
          },
        }
        await rig.submit(60)
        await rig.until(
          () => 'the worker was not stopped',
          () => stopped,
        )
        const other = await rig.start()
        if (FULL && n === 0) await pause(STANDSTILL_MS)
        else
          await sql`update poststelle.lanes set lease_until = now() - interval '1 second' where lease_token is not null`.execute(
            db,
          )
        if (!FULL || n > 0) await rig.noticeDeath()
        const meanwhile = await rig.settle()
        before += meanwhile.uncertain
        expect(meanwhile).toMatchObject({ ...UNHARMED, doubledFlagged: 0 })
        frozen.child.kill('SIGCONT')
        await rig.until(
          () => 'the first worker does not go on',
          async () => {
            const { rows } =
              await sql`select from poststelle.workers where pid = ${frozen.pid} and seen_at > now() - interval '2 seconds'`.execute(
                db,
              )
            return rows.length > 0
          },
        )
        frozen.child.kill('SIGTERM')
        await frozen.ended()
        const found = await rig.settle()
        expect(found).toMatchObject({ ...UNHARMED, doubledFlagged: 0 })
        after = found.uncertain
        frozen = other
      }
      const found = await rig.tally()
      expect(found.accepted).toBe(found.sent + found.uncertain)
      return `doubled 0 of ${found.accepted} in ${rounds} standstills${FULL ? ' (one of 45 s)' : ''}; in doubt meanwhile ${before}, settled by the late reply ${before - after}`
    } finally {
      await rig.close()
    }
  },
)
