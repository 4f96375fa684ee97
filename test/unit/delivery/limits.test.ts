import { describe, expect, test } from 'vitest'
import { HOUR_MS, later, MINUTE_MS } from '../../../src/base/clock.ts'
import { configuredLimits, limitsNow, tenantRecipientsPerDay } from '../../../src/delivery/limits.ts'
import { budget } from '../../support/budgets.ts'

const NOW = new Date('2026-03-11T10:00:00Z')

test.each([
  [1, 10_000],
  [10, 12_006],
  [25, 14_259],
  [100, 22_059],
  [1_000, 72_446],
])('a tenant of %d licences reaches %d external recipients a day', (licences, recipients) => {
  expect(tenantRecipientsPerDay(licences)).toBe(recipients)
  expect(configuredLimits(budget({ licences })).recipientsPerDay).toBe(recipients)
})

test('a number set for the tenant goes before its licences, and 0 switches every limit off', () => {
  expect(configuredLimits(budget({ licences: 100, recipientsPerDay: 5_000 })).recipientsPerDay).toBe(5_000)
  expect(configuredLimits(budget({ licences: 100, recipientsPerDay: 0 })).recipientsPerDay).toBe(Infinity)
  const off = { connections: 0, messagesPerMinute: 0, recipientsPerDay: 0, recipientsPerMessage: 0 }
  expect(Object.values(configuredLimits(budget(off)))).toEqual([Infinity, Infinity, Infinity, Infinity])
})

describe('a learned limit', () => {
  const after = (ms: number, learned: object, settings: object = {}) => {
    const at = later(NOW, -ms)
    const values = Object.fromEntries(Object.entries(learned).map(([name, value]) => [name, { value, at }]))
    return limitsNow(budget(settings, { learned: { ...budget().learned, ...values } }), NOW)
  }

  test.each([
    [0, 4],
    [14, 4],
    [15, 6],
    [30, 9],
    [45, 13.5],
    [60, 20.25],
    [75, 30],
    [600, 30],
  ])('of 4 messages a minute is %d min later %d, up to the 30 that are set', (minutes, rate) => {
    expect(after(minutes * MINUTE_MS, { messagesPerMinute: 4 }, { messagesPerMinute: 30 }).messagesPerMinute).toBe(rate)
  })

  test('of messages a minute is forgotten in some hours where none is set', () => {
    expect(after(HOUR_MS, { messagesPerMinute: 10 }).messagesPerMinute).toBe(50.625)
    expect(after(4 * HOUR_MS, { messagesPerMinute: 10 }).messagesPerMinute).toBe(Infinity)
  })

  test.each([
    [29, 1],
    [30, 2],
    [60, 3],
    [300, 3],
  ])('of one connection is %d min later %d, up to the 3 that are set', (minutes, connections) => {
    expect(after(minutes * MINUTE_MS, { connections: 1 }, { connections: 3 }).connections).toBe(connections)
  })

  test('of a day, or of one transaction, lasts a day', () => {
    const learned = { recipientsPerDay: 700, recipientsPerMessage: 20 }
    const settings = { recipientsPerDay: 10_000, recipientsPerMessage: 500 }
    expect(after(24 * HOUR_MS - 1, learned, settings)).toMatchObject(learned)
    expect(after(24 * HOUR_MS, learned, settings)).toMatchObject(settings)
  })

  test('does not raise what is set lower since', () => {
    expect(after(0, { connections: 3 }, { connections: 2 }).connections).toBe(2)
  })
})
