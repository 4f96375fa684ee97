import { expect, test } from 'vitest'
import { judgeFence } from '../../../src/delivery/restore-fence.ts'

test.each([
  ['the database that it was', { epoch: 7 }, 7, undefined],
  ['one that other machines have worked with since', { epoch: 9 }, 7, undefined],
  ['one that this machine has not seen before', { epoch: 1 }, undefined, undefined],
  ['an older state of it', { epoch: 6 }, 7, 'epoch'],
  ['a copy in another database of the cluster', { epoch: 7, foundPlace: '700/5' }, 7, 'place'],
  ['a copy on another cluster, with the same oid', { epoch: 7, foundPlace: '701/4' }, undefined, 'place'],
  ['a copy on a cluster whose identifier may not be read', { epoch: 7, foundPlace: '/4' }, 7, 'place'],
  ['an older copy elsewhere', { epoch: 6, foundPlace: '701/5' }, 7, 'place'],
] as const)('%s', (_, row, seenEpoch, reason) => {
  expect(judgeFence({ place: '700/4', foundPlace: '700/4', ...row }, seenEpoch)).toBe(reason)
})
