import { expect, test } from 'vitest'
import { HostSlots } from '../../../src/retrieval/host-slots.ts'

test('one host gets its share of the sessions, and another still gets one; a slot that is given back is free', () => {
  const slots = new HostSlots(2)
  const first = slots.take('slow:995')
  expect(slots.take('slow:995')).toBeDefined()
  expect(slots.take('slow:995')).toBeUndefined()
  expect(slots.take('quick:995')).toBeDefined()
  first?.()
  expect(slots.take('slow:995')).toBeDefined()
  expect(slots.take('slow:995')).toBeUndefined()
})
