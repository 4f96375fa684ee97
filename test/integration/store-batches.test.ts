import { sql } from 'kysely'
import { afterEach, expect, test } from 'vitest'
import { openInbound, type Inbound } from '../support/inbound.ts'
import { letter } from '../support/letters.ts'
import { UNHARMED } from '../support/oracle.ts'

let inbound: Inbound | undefined
afterEach(async () => {
  await inbound?.close()
  inbound = undefined
})

test('what was received is committed although the next message takes its time, and both are whole', async () => {
  inbound = await openInbound()
  const { box, house, user, poll } = inbound
  for (const subject of ['eins', 'zwei']) box.maildrop(user).add(letter(subject))
  const slow = box.maildrop(user).add(letter('langsam', { sizeBytes: 1_500 }))
  box.maildrop(user).add(letter('danach'))
  box.hooks = {
    seen: ({ verb, message }) => (verb === 'RETR' && message === slow ? { bytesPerSecond: 500 } : undefined),
  }
  const polled = poll()
  const stored = async (): Promise<number> => {
    const { rows } = await sql<{ n: number }>`select count(*) as n from poststelle.messages`.execute(house.db)
    return rows[0]?.n ?? 0
  }
  await expect.poll(stored, { timeout: 20_000, interval: 20 }).toBe(2)
  expect(await polled).toMatchObject({ stored: 4 })
  expect(await inbound.inspect()).toMatchObject({ ...UNHARMED, stored: 4 })
})

test('messages of every size around the limits of a batch come out as they went in', async () => {
  inbound = await openInbound()
  const { box, user, poll, inspect } = inbound
  const KIB = 1024
  const sizes = [1, 255, 256, 257, 300, 900, 1_023, 1_025, 1_300, 2_049].map((kib) => kib * KIB)
  for (let round = 0; round < 3; round++) {
    for (const sizeBytes of sizes) box.maildrop(user).add(letter(`${sizeBytes}`, { sizeBytes }))
    for (let i = 0; i < 40; i++) box.maildrop(user).add(letter(`klein ${i}`, { sizeBytes: 30_000 + i * 997 }))
  }
  expect(await poll()).toMatchObject({ stored: 150, skipped: 0 })
  expect(await inspect()).toMatchObject({ ...UNHARMED, stored: 150 })
})
