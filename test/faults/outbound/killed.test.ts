// A worker that is killed after the final dot has left: what nobody can know is said, and not sent again blindly.

import { expect } from 'vitest'
import { row, sized } from '../../support/figures.ts'
import { UNHARMED, type Tally } from '../../support/outbound-oracle.ts'
import { holdSettlements, openSendRig, type SendRig } from '../../support/send-kills.ts'

/** So many messages wait at each kill. */
const FRESH = 20

/** Kills when the n-th dot of this round is there; n is different every time. */
async function killAtDot(rig: SendRig): Promise<void> {
  const nth = 1 + Math.floor(Math.random() * FRESH)
  let dots = 0
  let killed: Promise<void> | undefined
  rig.hooks = {
    before: async (command) => {
      if (command !== '.' || ++dots < nth) return
      killed ??= rig.kill()
      // the reply never leaves, on no connection
      await killed
    },
  }
  await untilKilled(rig, () => killed !== undefined)
  await killed
}

/** Kills when the n-th reply has been received and its settlement is on its way to the tables. */
async function killBeforeSettling(rig: SendRig): Promise<void> {
  const nth = 1 + Math.floor(Math.random() * FRESH)
  let dots = 0
  let hold: ReturnType<typeof holdSettlements> | undefined
  rig.hooks = {
    before: async (command) => {
      if (command !== '.' || ++dots < nth) return
      hold ??= holdSettlements(rig.database.url)
      await hold
    },
  }
  await untilKilled(rig, async () => (await (await hold)?.blocked()) ?? false)
  await rig.kill()
  await (await hold)?.end()
}

async function untilKilled(rig: SendRig, struck: () => boolean | Promise<boolean>): Promise<void> {
  await rig.submit(FRESH)
  await rig.until(() => `no kill at ${rig.server.seen.commands.at(-1)}`, struck)
  rig.hooks = {}
}

async function rounds(
  strike: (rig: SendRig) => Promise<void>,
  kills: number,
): Promise<{ before: Tally; after: Tally }> {
  const rig = await openSendRig({ accounts: 1 })
  try {
    for (let kill = 1; kill <= kills; kill++) {
      await rig.start()
      await strike(rig)
      await rig.noticeDeath()
    }
    await rig.start()
    const before = await rig.settle()
    expect(before).toMatchObject({ ...UNHARMED, doubledFlagged: 0 })
    expect(before.uncertain).toBeGreaterThanOrEqual(kills)
    const after = await rig.repeatUncertain()
    expect(after).toMatchObject({ ...UNHARMED, uncertain: 0, sent: after.accepted })
    return { before, after }
  } finally {
    await rig.close()
  }
}

const figure = ({ before, after }: { before: Tally; after: Tally }, kills: number): string =>
  `${kills} kills, ${after.accepted} messages: uncertain ${before.uncertain}, sent again before that was said ${before.doubledFlagged + before.doubledUnflagged}; ` +
  `after one repeat sent ${after.sent}, lost ${after.lost}, doubled ${after.doubledFlagged} (all marked), unmarked ${after.doubledUnflagged}`

row(
  'C4',
  'killed between the final dot and its reply: uncertain, then repeated once and marked',
  { fast: true },
  async () => {
    const kills = sized(2, 40)
    const found = await rounds(killAtDot, kills)
    return figure(found, kills)
  },
)

row(
  'C5',
  'killed between the reply and its commit: uncertain, and not sent again blindly',
  { fast: true },
  async () => {
    const kills = sized(2, 40)
    const found = await rounds(killBeforeSettling, kills)
    // the server had taken every one of them
    expect(found.after.doubledFlagged).toBe(found.before.uncertain)
    return figure(found, kills)
  },
)
