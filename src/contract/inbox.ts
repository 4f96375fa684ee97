// Received mail as the interface and the command line tell it. The shape is a contract: docs/cli.md and the OpenAPI document.

import { z } from 'zod'
import type { InboxEntry, MessageDetail } from '../db/inbox.ts'
import { instant, iso, isoOrNull, pageOf } from './basics.ts'

export const inboxEntry = z.object({
  id: z.int(),
  account: z.string(),
  received_at: instant,
  date_at: instant.nullable(),
  from_address: z.string().nullable(),
  from_name: z.string().nullable(),
  subject: z.string().nullable(),
  size_bytes: z.int(),
  complete: z.boolean(),
  acknowledged_at: instant.nullable(),
  parse_state: z.enum(['pending', 'parsed', 'quarantined']),
  kind: z.enum(['mail', 'auto_reply', 'delivery_report', 'disposition_report', 'round_trip']).nullable(),
  position: z.int().nullable(),
  attachment_count: z.int(),
})
export type InboxEntryJson = z.infer<typeof inboxEntry>

export const inboxEntryJson = (entry: InboxEntry): InboxEntryJson => ({
  id: entry.id,
  account: entry.account,
  received_at: iso(entry.receivedAt),
  date_at: isoOrNull(entry.dateAt),
  from_address: entry.fromAddress,
  from_name: entry.fromName,
  subject: entry.subject,
  size_bytes: entry.sizeBytes,
  complete: entry.complete,
  acknowledged_at: isoOrNull(entry.acknowledgedAt),
  parse_state: entry.parseState,
  kind: entry.kind,
  position: entry.position,
  attachment_count: entry.attachmentCount,
})

export const inboxPage = pageOf(inboxEntry)

/** All that is known of a message but what stands in it. */
export const inboxFacts = inboxEntry.extend({
  to_addresses: z.string().nullable(),
  message_id: z.string().nullable(),
  sha256: z.string(),
  parse_reason: z.string().nullable(),
  parse_notes: z.array(z.string()),
  thread_id: z.string().nullable(),
  in_reply_to: z.string().nullable(),
  reference_ids: z.array(z.string()),
  attachments: z.array(
    z.object({
      ordinal: z.int(),
      name: z.string(),
      content_type: z.string(),
      disposition: z.enum(['attachment', 'inline']),
      content_id: z.string().nullable(),
      size_bytes: z.int(),
      sha256: z.string(),
    }),
  ),
  delivery_reports: z.array(
    z.object({
      action: z.string(),
      recipient: z.string(),
      status: z.string().nullable(),
      diagnostic: z.string().nullable(),
      reporting_mta: z.string().nullable(),
      original_message_id: z.string().nullable(),
      outbound_message_id: z.int().nullable(),
    }),
  ),
  thread: z.array(
    z.object({
      id: z.int(),
      received_at: instant,
      from_address: z.string().nullable(),
      subject: z.string().nullable(),
    }),
  ),
})
export const inboxDetail = inboxFacts.extend({ body_text: z.string().nullable(), body_html: z.string().nullable() })
export type InboxDetailJson = z.infer<typeof inboxDetail>

/** For somebody who may not read mail `body_html` and `body_text` are left out, and `has_html` says what there would be. */
export const inboxMessage = inboxFacts.extend({
  account_id: z.int(),
  may_read: z.boolean(),
  has_text: z.boolean(),
  has_html: z.boolean(),
  body_text: z.string().nullable(),
})
export type InboxMessageJson = z.infer<typeof inboxMessage>

export const inboxDetailJson = (message: MessageDetail): InboxDetailJson => ({
  ...inboxEntryJson(message),
  to_addresses: message.toAddresses,
  message_id: message.messageId,
  sha256: message.sha256,
  parse_reason: message.parseReason,
  parse_notes: [...message.parseNotes],
  thread_id: message.threadId,
  in_reply_to: message.inReplyTo,
  reference_ids: [...message.referenceIds],
  body_text: message.bodyText,
  body_html: message.bodyHtml,
  attachments: message.attachments.map((a) => ({
    ordinal: a.ordinal,
    name: a.name,
    content_type: a.contentType,
    disposition: a.disposition,
    content_id: a.contentId,
    size_bytes: a.sizeBytes,
    sha256: a.sha256,
  })),
  delivery_reports: message.deliveryReports.map((r) => ({
    action: r.action,
    recipient: r.recipient,
    status: r.status,
    diagnostic: r.diagnostic,
    reporting_mta: r.reportingMta,
    original_message_id: r.originalMessageId,
    outbound_message_id: r.outboundMessageId,
  })),
  thread: message.thread.map((t) => ({
    id: t.id,
    received_at: iso(t.receivedAt),
    from_address: t.fromAddress,
    subject: t.subject,
  })),
})
