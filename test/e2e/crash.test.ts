import { expect, test } from 'vitest'
import { runLoad } from '../support/load.ts'

test('kill -9 of the worker loses nothing and stores nothing twice; only what was uncertain and repeated may be there twice', async () => {
  const { inbound, outbound } = await runLoad({ accounts: 8, each: 60, outgoing: 200, kills: 6, flush: false })
  expect(inbound).toEqual({ expected: 480, stored: 480, lost: 0, doubled: 0 })
  expect(outbound).toMatchObject({ accepted: 200, sent: 200, uncertain: 0, lost: 0, doubledUnflagged: 0 })
})

test('FLUSHALL in the middle of the work: everything is finished all the same, nothing lost or doubled', async () => {
  const found = await runLoad({ accounts: 8, each: 100, outgoing: 100, kills: 0, flush: true })
  expect(found.inbound).toEqual({ expected: 800, stored: 800, lost: 0, doubled: 0 })
  expect(found.outbound).toMatchObject({ accepted: 100, sent: 100, lost: 0, doubledUnflagged: 0 })
})
