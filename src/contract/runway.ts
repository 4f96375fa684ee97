// What ends, as the interface and the command line tell it. The shape is a contract: docs/cli.md and the OpenAPI document.

import { z } from 'zod'
import type { Language } from '../health/phrases.ts'
import type { RunwayItem } from '../health/runway.ts'
import { instant, isoOrNull } from './basics.ts'

export const runwayItem = z.object({
  kind: z.string(),
  subject: z.string(),
  ends_at: instant.nullable(),
  days_left: z.int().nullable(),
  threshold_days: z.int().nullable(),
  accounts: z.int(),
  title: z.string(),
  remedy: z.string(),
})
export type RunwayItemJson = z.infer<typeof runwayItem>

export const runwayJson = (
  { kind, subject, endsAt, daysLeft, threshold, accounts, title, remedy }: RunwayItem,
  language: Language,
): RunwayItemJson => ({
  kind,
  subject,
  ends_at: isoOrNull(endsAt),
  days_left: daysLeft,
  threshold_days: threshold,
  accounts,
  title: title[language],
  remedy: remedy[language],
})
