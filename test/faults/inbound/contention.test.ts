// Two workers and one maildrop; a large import and new mail.

import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { openCrashRig } from '../../support/crash.ts'
import { FULL, row, sized } from '../../support/figures.ts'
import { deliveredTo, fill, settle, truths } from '../../support/kill-points.ts'
import { letter } from '../../support/letters.ts'
import { inspect, UNHARMED } from '../../support/oracle.ts'
import { startPopbox } from '../../support/popbox.ts'

const STANDSTILL_MS = 45_000

row(
  'A23',
  'a worker stands still, loses its lease, and goes on: another has done the work, and its writes are refused',
  { fast: true },
  async () => {
    const user = 'a@example.test'
    const box = await startPopbox()
    const rounds = sized(2, 6)
    const rig = await openCrashRig({ accounts: [box.account(user, { delete_after_days: 0 })] })
    const { db } = rig.database
    const settled = () => settle(rig, () => deliveredTo(box))
    try {
      let frozen = await rig.start()
      let fenced = 0
      for (let n = 0; n < rounds; n++) {
        fill(box, user, 200)
        // in the middle of the bodies, or when everything is committed and the first is about to be deleted
        const point = n % 2 === 0 ? { verb: 'RETR', nth: 120 } : { verb: 'DELE', nth: 1 }
        let stopped = 0
        box.hooks = {
          seen: ({ verb, nth, session }) => {
            if (stopped > 0 || verb !== point.verb || nth !== point.nth) return
            stopped = session
            frozen.child.kill('SIGSTOP')
          },
        }
        await rig.pollAll()
        await rig.until(
          () => 'the worker was not stopped',
          () => stopped > 0,
        )
        box.hooks = {}
        // a server that has no exclusive lock lets the other one in while the first still hangs there
        box.maildrop(user).holder = undefined
        const other = await rig.start()
        if (FULL && n === 0) await pause(STANDSTILL_MS)
        else
          await sql`update poststelle.lanes set lease_until = now() - interval '1 second' where lease_token is not null`.execute(
            db,
          )
        if (!FULL || n > 0) await rig.noticeDeath()
        await rig.until(
          () => 'nobody took over',
          async () => (await inspect(db, truths(box))).waiting === 0,
        )
        await settled()
        const before = box.seen.commands.length
        frozen.child.kill('SIGCONT')
        const rest = () => box.seen.commands.slice(before).filter(({ session }) => session === stopped)
        await rig.until(
          () => 'the first worker does not go on',
          async () => {
            const { rows } =
              await sql`select from poststelle.workers where pid = ${frozen.pid} and seen_at > now() - interval '2 seconds'`.execute(
                db,
              )
            return rows.length > 0 && box.seen.open === 0
          },
        )
        if (!rest().some(({ line }) => line === 'QUIT')) fenced += 1
        await settled()
        expect(await inspect(db, truths(box))).toMatchObject(UNHARMED)
        frozen.child.kill('SIGTERM')
        await frozen.ended()
        frozen = other
      }
      const found = await inspect(db, truths(box))
      // what was committed before the standstill may be deleted after it; what was not may not be stored any more
      expect(fenced).toBe(rounds / 2)
      return `doubled ${found.doubled}, lost ${found.lost} of ${found.delivered} in ${rounds} standstills${FULL ? ' (one of 45 s)' : ''}, fenced writes ${fenced} of ${rounds / 2} that were tried`
    } finally {
      await rig.close()
      await box.stop()
    }
  },
)

row(
  'A24',
  'ten thousand messages are imported: new mail, there and elsewhere, does not wait for them',
  { fast: false },
  async () => {
    const [big, small] = ['import@example.test', 'klein@example.test']
    const box = await startPopbox()
    fill(box, big, 10_000)
    fill(box, small, 1)
    const rig = await openCrashRig({ accounts: [box.account(big), box.account(small)] })
    const { db } = rig.database
    const imported = async (): Promise<number> =>
      (
        await sql<{
          n: number
        }>`select count(*) as n from poststelle.messages m join poststelle.accounts a on a.id = m.account_id
      where a.email = ${big}`.execute(db)
      ).rows[0]?.n ?? 0
    try {
      await rig.start()
      const begun = Date.now()
      const sentAt = new Map<string, { user: string; at: number }>()
      while ((await imported()) < 10_000) {
        for (const user of [big, small]) {
          const subject = `neu ${sentAt.size}`
          box.maildrop(user).add(letter(subject))
          sentAt.set(subject, { user, at: Date.now() })
        }
        await pause(250)
      }
      const seconds = (Date.now() - begun) / 1000
      await settle(rig, () => deliveredTo(box))
      const { rows } = await sql<{ subject: string; at: Date }>`
      select subject, received_at as at from poststelle.messages where subject like 'neu %'`.execute(db)
      const lags = (user: string): number[] =>
        rows.flatMap(({ subject, at }) => {
          const sent = sentAt.get(subject)
          return sent?.user === user ? [(at.getTime() - sent.at) / 1000] : []
        })
      const p95 = (values: number[]): number =>
        values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.95)] ?? Infinity
      const [there, elsewhere] = [p95(lags(big)), p95(lags(small))]
      expect(await inspect(db, truths(box))).toMatchObject(UNHARMED)
      expect(elsewhere).toBeLessThan(10)
      expect(there).toBeLessThan(60)
      return `10,000 imported in ${seconds.toFixed(1)} s, new mail after ${elsewhere.toFixed(1)} s elsewhere and ${there.toFixed(1)} s there (p95 of ${sentAt.size})`
    } finally {
      await rig.close()
      await box.stop()
    }
  },
)
