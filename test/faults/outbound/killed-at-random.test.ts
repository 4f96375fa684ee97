// kill -9 at any moment, while mail goes out.

import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import { row, sized } from '../../support/figures.ts'
import { UNHARMED } from '../../support/outbound-oracle.ts'
import { openSendRig } from '../../support/send-kills.ts'

/** Each kill hits a worker at another moment of its work: nothing is waited for but chance. */
const LONGEST_LIFE_MS = 700
/** As many as are not sent before the kill. */
const FRESH = sized(60, 150)

row(
  'C5b',
  'killed at random while it sends: accepted = sent + uncertain, and only what was repeated and marked is there twice',
  { fast: true },
  async () => {
    const kills = sized(6, 200)
    const rig = await openSendRig({ accounts: 3 })
    try {
      await rig.start()
      for (let kill = 1; kill <= kills; kill++) {
        await rig.submit(FRESH)
        await pause(Math.random() * LONGEST_LIFE_MS)
        await rig.kill()
        await rig.noticeDeath()
        await rig.start()
      }
      const before = await rig.settle()
      expect(before).toMatchObject({ ...UNHARMED, doubledFlagged: 0 })
      expect(before.accepted).toBe(kills * FRESH)
      expect(before.sent + before.uncertain).toBe(before.accepted)
      const after = await rig.repeatUncertain()
      expect(after).toMatchObject({ ...UNHARMED, sent: after.accepted, uncertain: 0 })
      expect(after.doubledFlagged).toBeLessThanOrEqual(before.uncertain)
      return `${kills} kills, ${after.accepted} messages: lost ${after.lost}, uncertain ${before.uncertain}, doubled unmarked ${after.doubledUnflagged}, after the repeat doubled and marked ${after.doubledFlagged}`
    } finally {
      await rig.close()
    }
  },
)
