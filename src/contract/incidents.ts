// Incidents as the interface and the command line tell them. The shape is a contract: docs/cli.md and the OpenAPI document.

import { z } from 'zod'
import type { IncidentDetails, IncidentRow } from '../db/incident-lists.ts'
import { explain } from '../failures/catalogue.ts'
import type { Language } from '../health/phrases.ts'
import { instant, iso, isoOrNull } from './basics.ts'

export const incident = z.object({
  id: z.int(),
  flag: z.string(),
  label: z.string(),
  scope: z.string(),
  persistence: z.string(),
  subject_kind: z.string(),
  subject: z.string(),
  opened_at: instant,
  gone_at: instant.nullable(),
  closed_at: instant.nullable(),
  accounts: z.int(),
  accounts_most: z.int(),
  waiting: z.object({ count: z.int(), most: z.int(), oldest_at: instant.nullable() }),
  actor: z.string(),
  next_step: z.string().nullable(),
  evidence: z.string(),
})
export type IncidentJson = z.infer<typeof incident>

export const incidentDetails = incident.extend({
  merged_into: z.int().nullable(),
  meaning: z.string(),
  steps: z.array(z.string()),
  link: z.string().nullable(),
  events: z.array(
    z.object({
      at: instant,
      event: z.enum(['opened', 'grew', 'merged', 'closed']),
      accounts: z.int(),
      waiting: z.int(),
      lasted_seconds: z.number().nullable(),
      sent_since: z.int().nullable(),
    }),
  ),
  affected: z.array(
    z.object({
      email: z.string(),
      direction: z.enum(['receive', 'send']),
      joined_at: instant,
      left_at: instant.nullable(),
    }),
  ),
})
export type IncidentDetailsJson = z.infer<typeof incidentDetails>

export function incidentJson(incident: IncidentRow, language: Language): IncidentJson {
  const { label, actor, steps } = explain(incident.flag, language)
  return {
    id: incident.id,
    flag: incident.flag,
    label,
    scope: incident.scope,
    persistence: incident.persistence,
    subject_kind: incident.subject_kind,
    subject: incident.subject,
    opened_at: iso(incident.opened_at),
    gone_at: isoOrNull(incident.gone_at),
    closed_at: isoOrNull(incident.closed_at),
    accounts: incident.accounts,
    accounts_most: incident.accounts_most,
    waiting: { count: incident.waiting, most: incident.waiting_most, oldest_at: isoOrNull(incident.oldest_waiting_at) },
    actor,
    next_step: steps[0] ?? null,
    evidence: incident.evidence,
  }
}

export const incidentDetailsJson = (incident: IncidentDetails, language: Language): IncidentDetailsJson => ({
  ...incidentJson(incident, language),
  merged_into: incident.merged_into,
  meaning: explain(incident.flag, language).meaning,
  steps: [...explain(incident.flag, language).steps],
  link: explain(incident.flag, language).link,
  events: incident.events.map(({ at, event, accounts, waiting, lastedSeconds, sentSince }) => ({
    at: iso(at),
    event,
    accounts,
    waiting,
    lasted_seconds: lastedSeconds,
    sent_since: sentSince,
  })),
  affected: incident.affected.map(({ email, direction, joinedAt, leftAt }) => ({
    email,
    direction,
    joined_at: iso(joinedAt),
    left_at: isoOrNull(leftAt),
  })),
})
