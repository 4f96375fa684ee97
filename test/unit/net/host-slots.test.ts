import { expect, test } from 'vitest'
import { HostSlots } from '../../../src/net/host-slots.ts'

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

test('the more are turned away the longer they wait, up to two minutes; who is let in makes it shorter again', () => {
  const slots = new HostSlots(2)
  const free = [slots.take('a'), slots.take('a')]
  slots.take('a')
  expect(slots.waitMs('a')).toBe(6_000)
  for (let i = 0; i < 9; i++) slots.take('a')
  expect(slots.waitMs('a')).toBe(24_000)
  for (let i = 0; i < 1_000; i++) slots.take('a')
  expect(slots.waitMs('a')).toBe(120_000)
  free[0]?.()
  for (let i = 0; i < 1_010; i++) slots.take('a')?.()
  expect(slots.waitMs('a')).toBe(4_000)
  expect(slots.waitMs('b')).toBe(4_000)
})
