// The ten-second page: verdict, facts, what needs attention, one chart.

import { z } from 'zod'
import { instant } from './basics.ts'
import { runwayItem } from './runway.ts'

export const overview = z.object({
  at: instant,
  kind: z.enum(['well', 'notes', 'blocked', 'stopped']),
  verdict: z.string(),
  /** Of the browser's tab. */
  title: z.string(),
  facts: z.array(z.string()),
  /** Nobody hears of what happens; '' where somebody does, or nobody is to. */
  alarm: z.string(),
  /** Queues that an admin has paused: nothing of their kind is worked on. */
  paused_queues: z.array(z.string()),
  /** By state: as many accounts as the list with this state has. */
  lamps: z.record(z.string(), z.int()),
  accounts: z.int(),
  accounts_current: z.int(),
  received: z.int(),
  handed_over: z.int(),
  since: instant,
  oldest_due_at: instant.nullable(),
  stuck: z.int(),
  oldest_stuck_at: instant.nullable(),
  outbox: z.record(z.string(), z.int()),
  attention: z.array(
    z.object({
      incident_ids: z.array(z.int()),
      flag: z.string(),
      label: z.string(),
      subject: z.string(),
      extent: z.string(),
      actor: z.string(),
      human: z.boolean(),
      next_step: z.string(),
    }),
  ),
  runway: z.array(runwayItem),
  hours: z.array(z.object({ at: instant, received: z.int(), handed_over: z.int(), rejected: z.int() })),
  restored: z.object({ since: instant, reason: z.string(), held: z.int() }).nullable(),
})
export type OverviewJson = z.infer<typeof overview>
