// Web hooks after Standard Webhooks 1.0 (github.com/standard-webhooks): signed with HMAC-SHA256, thin, repeated for three days.

import { createHmac, randomBytes } from 'node:crypto'
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '../base/clock.ts'

/** Waits between attempts: the example schedule of the specification, 75 hours in all. */
export const SCHEDULE_MS: readonly number[] = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
]

const PREFIX = 'whsec_'

export const newWebhookSecret = (): string => `${PREFIX}${randomBytes(24).toString('base64')}`

/** `v1,<base64>` over `id.timestamp.body`; one for each secret, the newest first. */
export function signature(secrets: readonly string[], id: string, seconds: number, body: string): string {
  return secrets
    .map((secret) => {
      const key = Buffer.from(secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret, 'base64')
      return `v1,${createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64')}`
    })
    .join(' ')
}

/** Undefined: no further attempt. Spread, so that what failed together does not come back together. */
export function nextWaitMs(attempts: number, random: number): number | undefined {
  const wait = SCHEDULE_MS[attempts - 1]
  return wait === undefined ? undefined : Math.round(wait * (0.9 + 0.2 * random))
}
