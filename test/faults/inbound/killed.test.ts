// A worker that is killed: nothing is lost, nothing is stored twice, nothing leaves the server unread.

import { expect } from 'vitest'
import { row, sized } from '../../support/figures.ts'
import { killAt, type KillOutcome } from '../../support/kill-points.ts'
import { UNHARMED } from '../../support/oracle.ts'

function figure(found: KillOutcome): string {
  const { lost, doubled, delivered, kills, recoverySeconds, sentAgain } = found
  const recovery = recoverySeconds === undefined ? '' : `, recovery ${recoverySeconds.toFixed(1)} s`
  return `lost ${lost}, doubled ${doubled} of ${delivered}, ${kills} kills${recovery}, sent again ${sentAgain}`
}

row(
  'A1',
  'killed after RETR and before the commit: the message is retrieved again, and stored once',
  { fast: true },
  async () => {
    const found = await killAt({
      kills: sized(4, 60),
      point: { when: 'answered', verb: 'RETR' },
      accounts: 2,
      each: 500,
      deletes: false,
      timed: true,
    })
    expect(found).toMatchObject(UNHARMED)
    return figure(found)
  },
)

row(
  'A2',
  'killed after the commit and before DELE was carried out: deleted later, and not retrieved again',
  { fast: true },
  async () => {
    const found = await killAt({
      kills: sized(3, 50),
      point: { when: 'seen', verb: 'DELE' },
      accounts: 1,
      each: 60,
      deletes: true,
    })
    expect(found).toMatchObject({ ...UNHARMED, sentAgain: 0 })
    return figure(found)
  },
)

row(
  'A3',
  'killed after DELE and before QUIT took effect: deleted later, and not retrieved again',
  { fast: true },
  async () => {
    const point = { when: 'seen', verb: 'QUIT', dropped: true } as const
    const found = await killAt({ kills: sized(3, 50), point, accounts: 1, each: 60, deletes: true })
    expect(found).toMatchObject({ ...UNHARMED, sentAgain: 0 })
    return figure(found)
  },
)

row(
  'A3b',
  'killed after QUIT took effect and before its answer: known as deleted at the next listing',
  { fast: true },
  async () => {
    const found = await killAt({
      kills: sized(3, 50),
      point: { when: 'seen', verb: 'QUIT' },
      accounts: 1,
      each: 60,
      deletes: true,
    })
    expect(found).toMatchObject({ ...UNHARMED, sentAgain: 0 })
    return figure(found)
  },
)
