// Accounts as the interface tells them: never with a secret.

import { z } from 'zod'
import type { AccountCard, HealthEventRow } from '../db/account-views.ts'
import { instant, iso, isoOrNull } from './basics.ts'

const provider = z.enum(['microsoft', 'google', 'generic'])
const direction = z.enum(['receive', 'send'])
export const lampState = z.enum(['new', 'ok', 'late', 'failing', 'blocked', 'paused'])

const flagOf = z.object({ flag: z.string(), direction, since: instant, evidence: z.string(), label: z.string() })

export const accountCard = z.object({
  id: z.int(),
  email: z.string(),
  label: z.string(),
  provider,
  receive: z.object({ state: lampState, last_ok_at: instant.nullable() }).nullable(),
  send: z.object({ state: lampState, last_ok_at: instant.nullable() }).nullable(),
  flags: z.array(flagOf),
  waiting: z.int(),
  waiting_oldest_at: instant.nullable(),
  pulse: z.string(),
  last_poll_at: instant.nullable(),
  app: z.object({ id: z.int(), label: z.string(), secret_expires_at: instant.nullable() }).nullable(),
})
export type AccountCardJson = z.infer<typeof accountCard>
export const accountPage = z.object({ items: z.array(accountCard), next: z.string().nullable(), total: z.int() })

const lamp = (state: string | null, lastOkAt: Date | null): AccountCardJson['receive'] =>
  state === null ? null : { state: lampState.parse(state), last_ok_at: isoOrNull(lastOkAt) }

export const accountCardJson = (card: AccountCard, labelOf: (flag: string) => string): AccountCardJson => ({
  id: card.id,
  email: card.email,
  label: card.label,
  provider: card.provider,
  receive: lamp(card.receiveState, card.receiveLastOkAt),
  send: lamp(card.sendState, card.sendLastOkAt),
  flags: card.flags.map((of) => ({
    flag: of.flag,
    direction: of.direction,
    since: iso(new Date(of.since)),
    evidence: of.evidence,
    label: labelOf(of.flag),
  })),
  waiting: card.waiting,
  waiting_oldest_at: isoOrNull(card.waitingOldestAt),
  pulse: card.pulse,
  last_poll_at: isoOrNull(card.lastPollAt),
  app:
    card.clientId === null
      ? null
      : { id: card.clientId, label: card.clientLabel ?? '', secret_expires_at: isoOrNull(card.secretExpiresAt) },
})

const host = z.object({
  host: z.string(),
  port: z.int(),
  security: z.enum(['tls', 'starttls', 'none']),
  username: z.string(),
})
const pausedBy = z.object({ by: z.string().nullable(), reason: z.string().nullable(), at: instant.nullable() })

/** What an open flag means, and what to do. */
export const explainedFlag = flagOf.extend({
  meaning: z.string(),
  actor: z.string(),
  steps: z.array(z.string()),
  link: z.string().nullable(),
})

export const accountDetail = accountCard.extend({
  flags: z.array(explainedFlag),
  is_default: z.boolean(),
  pop3: host.nullable(),
  smtp: host.nullable(),
  auth: z.object({
    type: z.enum(['password', 'oauth2']),
    flow: z.string().nullable(),
    scope: z.string().nullable(),
    username: z.string().nullable(),
    token_endpoint: z.string().nullable(),
    client_id: z.string().nullable(),
  }),
  settings: z.object({
    poll_interval_seconds: z.int(),
    poll_interval_max_seconds: z.int().nullable(),
    delete_after_days: z.int().nullable(),
    delete_after_ack: z.boolean(),
    first_sync: z.string(),
    first_sync_days: z.int().nullable(),
    max_session_messages: z.int(),
    max_session_bytes: z.int(),
    max_message_bytes: z.int(),
    freshness_minutes: z.int().nullable(),
    canary_minutes: z.int().nullable(),
    uncertain_policy: z.string(),
    sending: z.object({
      connections: z.int().nullable(),
      messages_per_minute: z.int().nullable(),
      recipients_per_day: z.int().nullable(),
      recipients_per_message: z.int().nullable(),
    }),
  }),
  lanes: z.array(
    z.object({
      lane: z.string(),
      due_at: instant.nullable(),
      parked_until: instant.nullable(),
      working: z.boolean(),
      rests_until: instant.nullable(),
      rests_for: z.string().nullable(),
    }),
  ),
  maildrop: z
    .object({ messages: z.int().nullable(), bytes: z.int().nullable(), guard: z.string().nullable() })
    .nullable(),
  credential: z.object({
    /** Eight digits by which one secret is told from another; null: none is stored. */
    fingerprint: z.string().nullable(),
    granted_at: instant.nullable(),
    granted_by: z.string().nullable(),
    refreshed_at: instant.nullable(),
    access_expires_at: instant.nullable(),
    refresh_expires_at: instant.nullable(),
  }),
  paused: z.object({ receive: pausedBy.nullable(), send: pausedBy.nullable() }),
  stored: z.int(),
  stored_24h: z.int(),
  etag: z.string(),
})
export type AccountDetailJson = z.infer<typeof accountDetail>

export const healthEvent = z.object({
  id: z.int(),
  direction,
  at: instant,
  from: z.string(),
  to: z.string(),
  flag: z.string().nullable(),
  label: z.string().nullable(),
  evidence: z.string().nullable(),
})
export const accountHealth = z.object({ since: instant, until: instant, events: z.array(healthEvent) })
export type AccountHealthJson = z.infer<typeof accountHealth>

export const healthEventJson = (e: HealthEventRow, labelOf: (flag: string) => string): z.infer<typeof healthEvent> => ({
  id: e.id,
  direction: e.direction,
  at: iso(e.at),
  from: e.fromState,
  to: e.toState,
  flag: e.flag,
  label: e.flag && e.flag.split(' ').map(labelOf).join(', '),
  evidence: e.evidence,
})

export const testStep = z.object({
  step: z.int(),
  name: z.string(),
  title: z.string(),
  side: z.enum(['pop3', 'smtp']).nullable(),
  state: z.enum(['ok', 'note', 'failed', 'skipped']),
  ms: z.int(),
  evidence: z.string(),
  flag: z.string().nullable(),
  next_try_at: instant.nullable(),
  remedy: z
    .object({
      label: z.string(),
      meaning: z.string(),
      actor: z.string(),
      steps: z.array(z.string()),
      link: z.string().nullable(),
    })
    .nullable(),
})
export type TestStepJson = z.infer<typeof testStep>
export const storedTest = z.object({ id: z.int(), at: instant, outcome: z.string(), steps: z.array(testStep) })
export type StoredTestJson = z.infer<typeof storedTest>

export const importRequest = z.strictObject({
  /** As the account file of docs/configuration.md. */
  accounts: z.array(z.record(z.string(), z.unknown())).min(1).max(10_000),
  dry_run: z.boolean().default(false),
})
export const importAnswer = z.object({
  dry_run: z.boolean(),
  accounts: z.array(
    z.object({
      id: z.int(),
      email: z.string(),
      change: z.enum(['created', 'changed', 'unchanged']),
      notes: z.array(z.string()),
    }),
  ),
})
export type ImportAnswer = z.infer<typeof importAnswer>

export const pauseRequest = z.strictObject({
  direction,
  reason: z.string().trim().max(500).optional(),
})
export const deleteRequest = z.strictObject({ confirm: z.string().max(320) })
export const signInAnswer = z.object({ url: z.string(), expires_at: instant })
export const uidlDecision = z.strictObject({
  decision: z.enum(['adopt', 'reimport']),
  reason: z.string().trim().max(500).optional(),
})

/** Settings of a provider that are known. */
export const preset = z.object({
  name: z.string(),
  title: z.string(),
  domains: z.array(z.string()),
  pop3: z.object({ host: z.string(), port: z.int(), security: z.string() }),
  smtp: z.object({ host: z.string(), port: z.int(), security: z.string() }),
  token_endpoint: z.string().nullable(),
  scopes: z.record(z.string(), z.string()),
  flows: z.array(z.string()),
})
export type Preset = z.infer<typeof preset>
