// How long to wait, as pure functions with jitter. A random number is handed in, so that tables can test them.

import { HOUR_MS, MINUTE_MS } from './clock.ts'

/** Spreads a duration by +/- `share` of it; `random` is in [0, 1). */
export const jitter = (ms: number, share: number, random: number): number =>
  Math.round(ms * (1 + share * (2 * random - 1)))

/** Doubles from `firstMs` with every failure, up to `maxMs`. `failures` counts from 1. */
export const exponential = (failures: number, firstMs: number, maxMs: number): number =>
  Math.min(maxMs, firstMs * 2 ** Math.min(30, Math.max(0, failures - 1)))

const PROBE_STEPS_MS = [15 * MINUTE_MS, HOUR_MS, 4 * HOUR_MS]

/** Until the next slow probe of a parked lane: 15 min, 1 h, then every 4 h. `probes` counts those already made, from 0. */
export const probeDelayMs = (probes: number): number =>
  PROBE_STEPS_MS[Math.min(probes, PROBE_STEPS_MS.length - 1)] ?? 4 * HOUR_MS
