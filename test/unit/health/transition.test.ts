import { describe, expect, test } from 'vitest'
import { DAY_MS, HOUR_MS, later, MINUTE_MS, SECOND_MS } from '../../../src/base/clock.ts'
import type { Persistence, Scope, Verdict } from '../../../src/base/failure.ts'
import {
  transition,
  type LaneHealth,
  type LaneOutcome,
  type LaneState,
  type Transition,
} from '../../../src/health/transition.ts'

const NOW = new Date('2026-03-11T10:00:00Z')
const NEW: LaneHealth = {
  state: 'new',
  since: later(NOW, -DAY_MS),
  lastOkAt: null,
  failures: 0,
  firstFailureAt: null,
  probes: 0,
}
const WELL: LaneHealth = { ...NEW, state: 'ok', lastOkAt: later(NOW, -MINUTE_MS) }

const verdict = (scope: Scope, persistence: Persistence, retryAfterMs?: number): Verdict => ({
  flag: 'some_flag',
  scope,
  persistence,
  blocks: ['receive'],
  ...(retryAfterMs !== undefined && { retryAfterMs }),
})
const OK: LaneOutcome = { kind: 'ok' }
const refusedLogin: LaneOutcome = { kind: 'failed', verdict: verdict('account', 'transient'), atLogin: true }
const needsHuman: LaneOutcome = { kind: 'failed', verdict: verdict('account', 'human'), atLogin: true }
const network: LaneOutcome = { kind: 'failed', verdict: verdict('network', 'transient'), atLogin: false }
/** The connection broke while logging in: no login was refused. */
const networkAtLogin: LaneOutcome = { kind: 'failed', verdict: verdict('network', 'transient'), atLogin: true }
const ownFault: LaneOutcome = { kind: 'failed', verdict: verdict('service', 'transient'), atLogin: true }
const busy: LaneOutcome = { kind: 'failed', verdict: verdict('server', 'transient'), atLogin: false }

interface Step extends Transition {
  readonly at: Date
  readonly waitMs: number | null
}

/** Each outcome comes exactly when the lane is unparked; without jitter. */
function run(from: LaneHealth, ...outcomes: readonly LaneOutcome[]): Step[] {
  let health = from
  let at = NOW
  return outcomes.map((outcome) => {
    const result = transition(health, outcome, at, 0.5)
    const step = { ...result, at, waitMs: result.parkedUntil && result.parkedUntil.getTime() - at.getTime() }
    health = result.health
    at = result.parkedUntil ?? later(at, 5 * MINUTE_MS)
    return step
  })
}
const states = (steps: readonly Step[]): LaneState[] => steps.map(({ health }) => health.state)
const waits = (steps: readonly Step[]): (number | null)[] => steps.map(({ waitMs }) => waitMs)

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value)

describe('a lane with passing trouble', () => {
  test.each([
    ['ok', WELL],
    ['new', NEW],
  ])('stays %s for two failures and is failing with the third', (state, before) => {
    expect(states(run(before, busy, network, busy))).toEqual([state, state, 'failing'])
  })

  test('is failing after 30 minutes, however few failures there were', () => {
    const first = transition(WELL, busy, NOW, 0.5).health
    expect(transition(first, busy, later(NOW, 30 * MINUTE_MS - 1), 0.5).health.state).toBe('ok')
    expect(transition(first, busy, later(NOW, 30 * MINUTE_MS), 0.5).health.state).toBe('failing')
  })

  test('counts anew after a success', () => {
    expect(states(run(WELL, busy, busy, OK, busy, busy))).toEqual(['ok', 'ok', 'ok', 'ok', 'ok'])
  })

  test('is tried again after 10 s, then twice as late each time, up to 15 min', () => {
    const seconds = waits(run(WELL, ...times(9, network))).map((ms) => (ms ?? 0) / SECOND_MS)
    expect(seconds).toEqual([10, 20, 40, 80, 160, 320, 640, 900, 900])
  })

  test('waits as long as the peer asks for, but no longer than a day', () => {
    const asked = (ms: number): LaneOutcome => ({
      kind: 'failed',
      verdict: verdict('server', 'transient', ms),
      atLogin: false,
    })
    expect(waits(run(WELL, asked(HOUR_MS)))).toEqual([HOUR_MS])
    expect(waits(run(WELL, asked(1)))).toEqual([10 * SECOND_MS])
    expect(waits(run(WELL, asked(100 * DAY_MS)))).toEqual([DAY_MS])
  })

  test('comes back spread by a tenth, so that a fleet does not come back at once', () => {
    expect(transition(WELL, network, NOW, 0).parkedUntil).toEqual(later(NOW, 9 * SECOND_MS))
    expect(transition(WELL, network, NOW, 1).parkedUntil).toEqual(later(NOW, 11 * SECOND_MS))
  })
})

describe('a lane that needs a human', () => {
  test.each([NEW, WELL, { ...WELL, state: 'failing', failures: 2, firstFailureAt: NOW } as const])(
    'is blocked at once (from $state)',
    (before) => {
      expect(states(run(before, needsHuman))).toEqual(['blocked'])
    },
  )

  test('is probed after 15 min, 1 h and then every 4 h', () => {
    expect(waits(run(WELL, ...times(5, needsHuman)))).toEqual([
      15 * MINUTE_MS,
      HOUR_MS,
      4 * HOUR_MS,
      4 * HOUR_MS,
      4 * HOUR_MS,
    ])
  })

  test('keeps the time since when it is blocked', () => {
    const steps = run(WELL, ...times(3, needsHuman))
    expect(steps.map(({ health }) => health.since)).toEqual(times(3, NOW))
  })

  test('is blocked without a refused login as well', () => {
    const steps = run(WELL, { kind: 'failed', verdict: verdict('tenant', 'human'), atLogin: false })
    expect([states(steps), waits(steps)]).toEqual([['blocked'], [15 * MINUTE_MS]])
  })

  test('is no longer blocked when the trouble turns into a passing one', () => {
    expect(states(run(WELL, needsHuman, busy))).toEqual(['blocked', 'failing'])
  })
})

describe('refused logins', () => {
  test('are three at most before the probes become slow', () => {
    const steps = run(WELL, ...times(6, refusedLogin))
    expect(waits(steps)).toEqual([10 * SECOND_MS, 20 * SECOND_MS, 15 * MINUTE_MS, HOUR_MS, 4 * HOUR_MS, 4 * HOUR_MS])
    expect(states(steps)).toEqual(['ok', 'ok', 'failing', 'failing', 'failing', 'failing'])
  })

  test.each([
    ['the network', network],
    ['the network while logging in', networkAtLogin],
    ['a fault of ours', ownFault],
    ['a busy server', busy],
  ])('are not counted for %s: no amount of it makes the probes slow', (_what, trouble) => {
    expect(waits(run(WELL, ...times(30, trouble))).every((ms) => ms !== null && ms <= 15 * MINUTE_MS)).toBe(true)
    expect(waits(run(WELL, trouble, trouble, trouble, refusedLogin)).at(-1)).toBe(80 * SECOND_MS)
  })

  test('stay three although trouble of another kind comes between them', () => {
    const steps = run(WELL, refusedLogin, network, refusedLogin, networkAtLogin, refusedLogin, network, refusedLogin)
    expect(waits(steps).filter((_, i) => i % 2 === 0)).toEqual([
      10 * SECOND_MS,
      40 * SECOND_MS,
      15 * MINUTE_MS,
      HOUR_MS,
    ])
  })

  test('in the first quarter of an hour are three whatever else happens', () => {
    for (const between of [[], [network], [ownFault, network], [busy]]) {
      const steps = run(WELL, ...times(20, [refusedLogin, ...between]).flat())
      const logins = steps.filter(
        (_, i) => i % (between.length + 1) === 0 && (steps[i]?.at ?? NOW) < later(NOW, 15 * MINUTE_MS),
      )
      expect(logins.length).toBeLessThanOrEqual(3)
    }
  })

  test('are counted anew after a success', () => {
    expect(waits(run(WELL, refusedLogin, refusedLogin, OK, refusedLogin, refusedLogin)).slice(3)).toEqual([
      10 * SECOND_MS,
      20 * SECOND_MS,
    ])
  })
})

describe('recovery', () => {
  const broken = run(WELL, needsHuman, network, refusedLogin).at(-1)?.health ?? WELL

  test('is one success: the lane is ok, unparked, and nothing is remembered against it', () => {
    const at = later(NOW, DAY_MS)
    expect(transition(broken, OK, at, 0.5)).toEqual({
      health: { state: 'ok', since: at, lastOkAt: at, failures: 0, firstFailureAt: null, probes: 0 },
      parkedUntil: null,
    })
  })

  test('of a lane that is ok keeps the time since when it is', () => {
    expect(transition(WELL, OK, NOW, 0.5).health).toMatchObject({ since: WELL.since, lastOkAt: NOW })
  })

  test('starts the slow probes anew when it did not last', () => {
    expect(waits(run(WELL, needsHuman, needsHuman, OK, needsHuman))).toEqual([
      15 * MINUTE_MS,
      HOUR_MS,
      null,
      15 * MINUTE_MS,
    ])
  })

  test('leaves the last success where it was while there is trouble', () => {
    expect(broken.lastOkAt).toEqual(WELL.lastOkAt)
  })
})
