// kill -9 at any moment, while mail comes in: with a real Dovecot, and with accounts that delete what they stored.

import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import { openCrashRig, type CrashRig } from '../../support/crash.ts'
import { startDovecot } from '../../support/dovecot.ts'
import { row, sized } from '../../support/figures.ts'
import { deliveredTo, fill, settle, truths } from '../../support/kill-points.ts'
import { letters } from '../../support/letters.ts'
import { inspect, UNHARMED, type Findings, type Truth } from '../../support/oracle.ts'
import { makePki } from '../../support/pki.ts'
import { startPopbox } from '../../support/popbox.ts'

/** Each kill hits a worker at another moment of its work: nothing is waited for but chance. */
const LONGEST_LIFE_MS = 1_200

async function killAtRandom(rig: CrashRig, kills: number, deliver: () => void): Promise<void> {
  await rig.start()
  for (let kill = 1; kill <= kills; kill++) {
    deliver()
    await pause(Math.random() * LONGEST_LIFE_MS)
    deliver()
    await rig.kill()
    await rig.noticeDeath()
    await rig.start()
  }
}

const figure = ({ lost, doubled, delivered }: Findings, kills: number): string =>
  `lost ${lost}, doubled ${doubled} of ${delivered}, ${kills} kills at random moments`

row(
  'A27',
  'a real Dovecot, killed at random while mail is delivered: nothing lost, nothing doubled',
  { fast: true },
  async () => {
    const pki = await makePki()
    const dovecot = await startDovecot({ pki })
    const users = ['keeps@example.test', 'deletes@example.test']
    const delivered = new Map(users.map((user) => [user, [] as string[]]))
    const deliver = (): void => {
      for (const user of users)
        for (const bytes of letters(12, { sizeBytes: 3_000 })) {
          dovecot.deliver(user, bytes)
          delivered.get(user)?.push(createHash('sha256').update(bytes).digest('hex'))
        }
    }
    const look = (): Truth[] =>
      users.map((email) => {
        const onServer = dovecot.stored(email).map(({ sha256 }) => sha256)
        const all = delivered.get(email) ?? []
        const there = new Set(onServer)
        return { email, delivered: all, onServer, deleted: all.filter((sha) => !there.has(sha)) }
      })
    for (const user of users) dovecot.maildir(user)
    const accounts = users.map((email) => ({
      email,
      pop3: { host: 'localhost', port: dovecot.popPort, security: 'starttls' },
      auth: { type: 'password', password: dovecot.password },
      poll_interval_seconds: 60,
      ...(email.startsWith('deletes') && { delete_after_days: 0 }),
    }))
    const rig = await openCrashRig({ accounts, caFile: pki.caFile })
    try {
      await killAtRandom(rig, sized(5, 110), deliver)
      await settle(rig, () => [...delivered.values()].reduce((sum, { length }) => sum + length, 0))
      const found = await inspect(rig.database.db, look())
      expect(found).toMatchObject(UNHARMED)
      expect(dovecot.stored('deletes@example.test')).toEqual([])
      return figure(found, rig.kills)
    } finally {
      await rig.close()
      await dovecot.stop()
      await pki.stop()
    }
  },
)

row(
  'A27b',
  'four maildrops, large and small mail, killed at random: nothing lost, doubled or deleted unread',
  { fast: true },
  async () => {
    const box = await startPopbox()
    const users = ['a', 'b', 'c', 'd'].map((name) => `${name}@example.test`)
    for (const user of users) fill(box, user, 40)
    const over = (index: number): object => (index % 2 === 0 ? { delete_after_days: 0 } : {})
    const rig = await openCrashRig({ accounts: users.map((user, i) => box.account(user, over(i))) })
    try {
      await killAtRandom(rig, sized(5, 110), () => {
        for (const user of users) {
          fill(box, user, 8)
          box.maildrop(user).addGenerated({ sizeBytes: 2_500_000 })
        }
      })
      await settle(rig, () => deliveredTo(box))
      const found = await inspect(rig.database.db, truths(box))
      expect(found).toMatchObject(UNHARMED)
      return figure(found, rig.kills)
    } finally {
      await rig.close()
      await box.stop()
    }
  },
)
