// Outgoing mail as the interface and the command line tell it. The shape is a contract: docs/cli.md and the OpenAPI document.

import { z } from 'zod'
import { CHANGES } from '../db/outbox-changes.ts'
import { HOLD_REASONS, OUTBOUND_STATES, type OutboxDetail, type OutboxEntry } from '../db/outbox.ts'
import { instant, iso, isoOrNull, pageOf } from './basics.ts'

const state = z.enum(OUTBOUND_STATES)

export const outboxEntry = z.object({
  id: z.int(),
  account: z.string(),
  account_id: z.int(),
  state,
  hold_reason: z.enum(HOLD_REASONS).nullable(),
  envelope_from: z.string(),
  recipient: z.string().nullable(),
  recipient_count: z.int(),
  message_id: z.string(),
  subject: z.string().nullable(),
  size_bytes: z.int().nullable(),
  idempotency_key: z.string().nullable(),
  priority: z.int(),
  created_at: instant,
  next_attempt_at: instant.nullable(),
  eta: instant.nullable(),
  expires_at: instant,
  attempts: z.int(),
  repeated: z.boolean(),
  finished_at: instant.nullable(),
  last_reply: z.string().nullable(),
  last_flag: z.string().nullable(),
})
export type OutboxEntryJson = z.infer<typeof outboxEntry>

export const outboxEntryJson = (entry: OutboxEntry): OutboxEntryJson => ({
  id: entry.id,
  account: entry.account,
  account_id: entry.accountId,
  state: entry.state,
  hold_reason: entry.holdReason,
  envelope_from: entry.envelopeFrom,
  recipient: entry.recipient,
  recipient_count: entry.recipientCount,
  message_id: entry.messageId,
  subject: entry.subject,
  size_bytes: entry.sizeBytes,
  idempotency_key: entry.idempotencyKey,
  priority: entry.priority,
  created_at: iso(entry.createdAt),
  next_attempt_at: isoOrNull(entry.nextAttemptAt),
  eta: isoOrNull(entry.eta),
  expires_at: iso(entry.expiresAt),
  attempts: entry.attempts,
  repeated: entry.repeated,
  finished_at: isoOrNull(entry.finishedAt),
  last_reply: entry.lastReply,
  last_flag: entry.lastFlag,
})

export const outboxPage = pageOf(outboxEntry)

export const outboxDetail = outboxEntry.extend({
  recipients: z.array(
    z.object({
      address: z.string(),
      state: z.enum(['pending', 'accepted', 'deferred', 'rejected', 'bounced']),
      reply_code: z.int().nullable(),
      enhanced_code: z.string().nullable(),
      reply: z.string().nullable(),
      flag: z.string().nullable(),
      updated_at: instant,
    }),
  ),
  delivery_attempts: z.array(
    z.object({
      number: z.int(),
      started_at: instant,
      finished_at: instant.nullable(),
      phase: z.enum(['claimed', 'handing_over', 'done']),
      outcome: z.enum(['sent', 'partial', 'failed', 'deferred', 'uncertain', 'returned']).nullable(),
      step: z.string().nullable(),
      reply: z.string().nullable(),
      flag: z.string().nullable(),
      transcript: z.string().nullable(),
    }),
  ),
  account_flags: z.array(z.object({ flag: z.string(), evidence: z.string() })),
})
export type OutboxDetailJson = z.infer<typeof outboxDetail>

export const outboxDetailJson = (message: OutboxDetail): OutboxDetailJson => ({
  ...outboxEntryJson(message),
  recipients: message.recipients.map((r) => ({
    address: r.address,
    state: r.state,
    reply_code: r.replyCode,
    enhanced_code: r.enhancedCode,
    reply: r.reply,
    flag: r.flag,
    updated_at: iso(r.updatedAt),
  })),
  delivery_attempts: message.deliveryAttempts.map((t) => ({
    number: t.number,
    started_at: iso(t.startedAt),
    finished_at: isoOrNull(t.finishedAt),
    phase: t.phase,
    outcome: t.outcome,
    step: t.step,
    reply: t.reply,
    flag: t.flag,
    transcript: t.transcript,
  })),
  account_flags: [...message.accountFlags],
})

export const change = z.enum(CHANGES)

/** Either ids, or a filter; a filter is counted first, and the count given back as confirmation. */
export const changeRequest = z
  .strictObject({
    change,
    ids: z.array(z.int().min(1)).min(1).max(10_000).optional(),
    filter: z.string().max(1_000).optional(),
    dry_run: z.boolean().default(false),
    /** The count that the caller was shown. */
    confirm: z.int().min(0).optional(),
    reason: z.string().trim().max(500).optional(),
  })
  .refine(({ ids, filter }) => (ids === undefined) !== (filter === undefined), {
    path: ['ids'],
    error: 'give either ids or a filter',
  })

export const changePlan = z.object({
  kind: z.literal('plan'),
  count: z.int(),
  accounts: z.int(),
  oldest_at: instant.nullable(),
  states: z.array(z.object({ state, hold_reason: z.string().nullable(), count: z.int() })),
})

export const changeOutcome = z.object({
  kind: z.literal('done'),
  changed: z.int(),
  changed_ids: z.array(z.int()),
  refused: z.array(z.object({ reason: z.string(), count: z.int(), ids: z.array(z.int()) })),
})

export const bulkRun = z.object({
  kind: z.literal('run'),
  id: z.int(),
  change,
  filter: z.string(),
  started_by: z.string(),
  started_at: instant,
  total: z.int(),
  done: z.int(),
  changed: z.int(),
  refused: z.record(z.string(), z.int()),
  stop_asked: z.boolean(),
  finished_at: instant.nullable(),
  error: z.string().nullable(),
})
export type BulkRunJson = z.infer<typeof bulkRun>

export const changeAnswer = z.discriminatedUnion('kind', [changePlan, changeOutcome, bulkRun])
export type ChangeAnswer = z.infer<typeof changeAnswer>

const address = z.string().trim().min(3).max(320)

/** A new message, in parts; docs/sql.md describes the same fields. */
export const newMessage = z.strictObject({
  account: z.string().min(1).max(320),
  from_name: z.string().max(200).optional(),
  to: z.array(address).max(1_000).default([]),
  cc: z.array(address).max(1_000).default([]),
  bcc: z.array(address).max(1_000).default([]),
  reply_to: address.optional(),
  subject: z.string().max(2_000).default(''),
  text: z.string().max(5_000_000).optional(),
  html: z.string().max(5_000_000).optional(),
  attachments: z
    .array(
      z.strictObject({
        filename: z.string().max(255),
        content_type: z.string().max(200).default('application/octet-stream'),
        /** base64 */
        content: z.base64(),
      }),
    )
    .max(100)
    .default([]),
  send_after: instant.optional(),
  priority: z.int().min(-100).max(100).default(0),
})
export const accepted = z.object({ id: z.int() })
