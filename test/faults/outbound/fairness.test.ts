// One destination is dead, and the mail to the others does not wait behind it.

import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import { row, sized } from '../../support/figures.ts'
import { withOutbound } from '../../support/outbound.ts'

const OTHERS = 10
const DEAD_REPLY_MS = 250

const domainOf = (n: number): string => `ziel${n}.test`

row(
  'C27',
  'one destination answers slowly and defers everything, ten others are fine: they do not wait for it',
  { fast: true },
  () =>
    withOutbound({}, async ({ sender }) => {
      const [dead, each] = [sized(40, 200), sized(10, 40)]
      const tookAt = new Map<string, number>()
      let deferred = 0
      const lane = await sender({
        extensions: ['PIPELINING', '8BITMIME'],
        before: async (command) => {
          if (!command.includes('@tot.test>')) return
          deferred += 1
          await pause(DEAD_REPLY_MS)
        },
        answer: (command) =>
          command.includes('RCPT TO:<kunde@tot.test>') ? '451 4.4.1 connection timed out' : undefined,
        after: (command) => {
          if (command !== '.') return
          for (const { recipients } of lane.server.seen.taken.slice(tookAt.size))
            tookAt.set(`${tookAt.size} ${recipients.join()}`, performance.now())
        },
      })
      // the dead one has been there first
      for (let n = 0; n < dead; n++) await lane.submit(`tot-${n}`, { to: ['kunde@tot.test'] })
      for (let n = 0; n < each; n++)
        for (let other = 1; other <= OTHERS; other++)
          await lane.submit(`gut-${n}-${other}`, { to: [`kunde@${domainOf(other)}`] })
      const begun = performance.now()
      while (tookAt.size < OTHERS * each) {
        expect(performance.now() - begun).toBeLessThan(dead * DEAD_REPLY_MS * 2)
        await lane.drain()
        await lane.unpark()
      }
      const lags = [...tookAt.values()].map((at) => (at - begun) / 1000).toSorted((a, b) => a - b)
      const p95 = lags[Math.floor(lags.length * 0.95)] ?? Infinity
      const alone = (dead * DEAD_REPLY_MS) / 1000
      expect(p95).toBeLessThan(alone / 2)
      const states = await lane.states()
      expect(states['sent']).toBe(OTHERS * each)
      expect((states['deferred'] ?? 0) + (states['queued'] ?? 0)).toBe(dead)
      expect(await lane.flags()).toEqual([])
      return `p95 of ${lags.length} messages to the others ${p95.toFixed(1)} s, with ${dead} before them that take ${alone} s one by one; the dead one was asked ${deferred} times`
    }),
)
