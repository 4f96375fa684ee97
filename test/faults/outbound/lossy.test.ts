// A real Postfix behind a bad network: slow, in small pieces, and cut at any byte. Packets themselves are not dropped, because that
// needs a kernel with netem; what a lost packet can end in, for a program above TCP, is a stall or a cut.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { drainLane } from '../../../src/delivery/drain-lane.ts'
import { startFaultProxy } from '../../support/fault-proxy.ts'
import { row, sized } from '../../support/figures.ts'
import { openHouse, passwordAccount } from '../../support/house.ts'
import { outgoingMessage, startMailWorld } from '../../support/mail-world.ts'
import { RECIPIENT, submit } from '../../support/outbound.ts'
import { tally, UNHARMED } from '../../support/outbound-oracle.ts'
import { mulberry32 } from '../../support/random.ts'

const SEED = 26_000_001
/** From within the handshake to some messages later. */
const CUT_BYTES = { up: [500, 20_000], down: [1_200, 3_000] } as const
const TURNS_MOST = 400
const TEXT = 'Zeile mit Text, wie er in einem Brief steht.\r\n'.repeat(100)

row(
  'C26',
  'Postfix behind a network that cuts connections at any byte: nothing lost, nothing doubled but what is marked',
  { fast: true },
  async () => {
    const count = sized(60, 1_000)
    const random = mulberry32(SEED)
    const world = await startMailWorld({ oauthAccounts: 0, passwordAccounts: 1 })
    const house = await openHouse({ caPem: world.pki.ca })
    const proxy = await startFaultProxy(world.postfix.submissionPort)
    const { db } = house
    const user = world.emails[0] ?? ''
    const waiting = async (): Promise<number> =>
      (
        await sql<{ n: number }>`select count(*)::int as n from poststelle.outbound_messages
      where finished_at is null and next_attempt_at is not null`.execute(db)
      ).rows[0]?.n ?? 0
    const turn = async (): Promise<void> => {
      await sql`update poststelle.outbound_messages set next_attempt_at = now() where next_attempt_at > now()`.execute(
        db,
      )
      await sql`update poststelle.lanes set parked_until = null, due_at = now() where lane = 'send'`.execute(db)
      await sql`update poststelle.host_breakers set open_until = now()`.execute(db)
      await drainLane(house, await house.lease(id, 'send'), AbortSignal.timeout(60_000))
    }
    const taken = () =>
      world.postfix.delivered().map(({ from, recipients, raw: bytes }) => ({ from, recipients, bytes }))
    let id = 0
    try {
      const [account] = await house.importAccounts([
        passwordAccount(user, {
          pop3: null,
          smtp: { host: 'localhost', port: proxy.port, security: 'starttls' },
          auth: { type: 'password', password: world.dovecot.password },
        }),
      ])
      id = account?.id ?? 0
      for (let n = 0; n < count; n++)
        await submit(db, {
          from: user,
          to: [RECIPIENT],
          raw: Buffer.concat([outgoingMessage(user, RECIPIENT, String(n)), Buffer.from(TEXT)]),
        })
      const within = ([least, most]: readonly [number, number]): number => least + Math.floor(random() * (most - least))
      // each connection gets its own
      proxy.set(() => {
        const cut = random() < 0.5 ? 'reset' : 'close'
        const where = random() < 0.5 ? 'up' : 'down'
        const faults = {
          up: { segmentBytes: 1_400 },
          down: { segmentBytes: 1_400, latencyMs: Math.floor(random() * 5) },
        }
        return { ...faults, cut, [where]: { ...faults[where], cutAfterBytes: within(CUT_BYTES[where]) } }
      })
      let turns = 0
      for (; turns < TURNS_MOST && (await waiting()) > 0; turns++) await turn()
      proxy.set({})
      while ((await waiting()) > 0) await turn()
      const { rows } = await sql<{
        sent: number
      }>`select count(*)::int as sent from poststelle.outbound_messages where state = 'sent'`.execute(db)
      // Postfix has a queue of its own
      await expect
        .poll(() => new Set(taken().map(({ bytes }) => idOf(bytes))).size, { timeout: 60_000 })
        .toBeGreaterThanOrEqual(rows[0]?.sent ?? 0)
      const found = await tally(db, taken())
      expect(found).toMatchObject(UNHARMED)
      expect(found.sent + found.uncertain).toBe(count)
      const perMille = (1_000 * found.doubledFlagged) / count
      return `${count} messages over ${proxy.connections} connections in ${turns} turns (seed ${SEED}): lost ${found.lost}, doubled and marked ${found.doubledFlagged} (${perMille.toFixed(0)} per mille), unmarked ${found.doubledUnflagged}, still uncertain ${found.uncertain}`
    } finally {
      await house.close()
      await proxy.stop()
      await world.stop()
    }
  },
)

const idOf = (raw: Buffer): string => /^message-id:.*$/im.exec(raw.toString('latin1'))?.[0] ?? ''
