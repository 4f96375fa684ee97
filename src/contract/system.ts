// What is behind the pages: queues, keys, the installation itself; and what does not move by itself.

import { z } from 'zod'
import { instant } from './basics.ts'

export const attentionGroup = z.object({
  kind: z.enum(['failed', 'expired', 'uncertain', 'held', 'quarantined', 'oversize']),
  cause: z.string().nullable(),
  label: z.string(),
  meaning: z.string(),
  steps: z.array(z.string()),
  count: z.int(),
  accounts: z.int(),
  oldest_at: instant,
  example: z.string().nullable(),
  example_id: z.int(),
  /** For the list of these. */
  filter: z.string(),
})
export type AttentionGroupJson = z.infer<typeof attentionGroup>

export const queue = z.object({
  name: z.string(),
  waiting: z.int(),
  active: z.int(),
  delayed: z.int(),
  failed: z.int(),
  paused: z.boolean(),
  /** Lanes that are due in the tables, whatever the queue holds. */
  due: z.int(),
  oldest_due_at: instant.nullable(),
  /** Processes that work on it. */
  workers: z.int(),
})
export type QueueJson = z.infer<typeof queue>

export const keys = z.object({
  coverage_percent: z.int(),
  keys: z.array(z.object({ id: z.string(), seals: z.boolean(), values: z.int() })),
})
export type KeysJson = z.infer<typeof keys>

export const system = z.object({
  version: z.string(),
  node: z.string(),
  postgres: z.string(),
  queue_backend: z.string(),
  database_bytes: z.int(),
  mail_bytes: z.int(),
  clock_ahead_ms: z.int(),
  started_at: instant,
  workers: z.array(
    z.object({ host: z.string(), pid: z.int(), roles: z.string(), version: z.string(), seen_at: instant }),
  ),
})
export type SystemJson = z.infer<typeof system>
