// Nobody is delayed beyond a fair share by what others do: a server that answers a byte a second, and a maildrop with more mail
// than a session takes.

import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { openCrashRig, type CrashRig } from '../../support/crash.ts'
import { row, sized } from '../../support/figures.ts'
import { fill } from '../../support/kill-points.ts'
import { letter } from '../../support/letters.ts'
import { startPopbox, type Popbox } from '../../support/popbox.ts'

const INTERVAL_SECONDS = 5

/** Adds a message to each maildrop, spread over some seconds; returns the delays until they were stored, in seconds, sorted. */
async function delays(rig: CrashRig, box: Popbox, users: readonly string[], round: string): Promise<number[]> {
  const { db } = rig.database
  const sentAt = new Map<string, number>()
  for (const [i, user] of users.entries()) {
    const subject = `${round} ${i}`
    box.maildrop(user).add(letter(subject))
    sentAt.set(subject, Date.now())
    await pause(5_000 / users.length)
  }
  const seen = async () =>
    (
      await sql<{ subject: string; at: Date }>`
        select subject, received_at as at from poststelle.messages where subject like ${`${round} %`}`.execute(db)
    ).rows
  await rig.until(
    () => `not everything of round ${round} is stored`,
    async () => (await seen()).length === users.length,
  )
  return (await seen())
    .map(({ subject, at }) => (at.getTime() - (sentAt.get(subject) ?? 0)) / 1_000)
    .toSorted((a, b) => a - b)
}

const p95 = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length * 0.95)] ?? Infinity

row(
  'P8',
  'a server that drips and a maildrop full of old mail: the mail of all others does not wait',
  { fast: true },
  async () => {
    const users = Array.from({ length: sized(40, 200) }, (_, i) => `user${i}@example.test`)
    const slow = Array.from({ length: 30 }, (_, i) => `drip${i}@example.test`)
    const many = sized(6_000, 50_000)
    const [good, dripping] = [await startPopbox(), await startPopbox()]
    const full = 'voll@example.test'
    dripping.hooks = {
      seen: ({ verb }) => (verb === 'STAT' ? { reply: '+OK 1000 1000000', bytesPerSecond: 1 } : undefined),
    }
    const rig = await openCrashRig({
      accounts: [...[...users, full].map((user) => good.account(user)), ...slow.map((user) => dripping.account(user))],
    })
    const { db } = rig.database
    const switchOn = (condition: string, on: boolean): Promise<unknown> =>
      sql`update poststelle.accounts set enabled_receive = ${on} where email like ${condition}`.execute(db)
    try {
      await sql`update poststelle.maildrops set poll_interval_seconds = ${INTERVAL_SECONDS}`.execute(db)
      await switchOn('drip%', false)
      await switchOn('voll%', false)
      await rig.start()
      const alone = p95(await delays(rig, good, users, 'allein'))
      fill(good, full, many)
      await switchOn('drip%', true)
      await switchOn('voll%', true)
      await rig.until(
        () => 'nobody drips',
        () => dripping.seen.open >= 20,
      )
      const beside = p95(await delays(rig, good, users, 'daneben'))
      expect(dripping.seen.logins.length).toBeGreaterThan(0)
      expect(beside).toBeLessThan(alone + INTERVAL_SECONDS)
      return `${users.length} accounts: mail stored after ${beside.toFixed(1)} s (p95) beside ${dripping.seen.logins.length} sessions that drip and ${many} old messages, after ${alone.toFixed(1)} s alone, polled every ${INTERVAL_SECONDS} s`
    } finally {
      await rig.close()
      await good.stop()
      await dripping.stop()
    }
  },
)
