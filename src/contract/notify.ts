// Those who are told of what happens, as the interface tells of them: never with their secrets.

import { z } from 'zod'
import type { DeliveryRow, NotifyTarget } from '../db/notify.ts'
import { NOTIFY_KINDS } from '../db/schema-notify.ts'
import { instant, iso, isoOrNull, pageOf } from './basics.ts'

export const EVENT_TYPES = [
  'incident.opened',
  'incident.grew',
  'incident.closed',
  'incident.merged',
  'outbox.sent',
  'outbox.partial',
  'outbox.deferred',
  'outbox.delayed',
  'outbox.uncertain',
  'outbox.failed',
  'outbox.expired',
  'outbox.bounced',
  'outbox.cancelled',
  'outbox.held',
  'outbox.released',
  'message.received',
  'message.quarantined',
] as const

const eventPattern = z.enum([...EVENT_TYPES, 'incident.*', 'outbox.*', 'message.*'])

export const target = z.object({
  id: z.int(),
  kind: z.enum(NOTIFY_KINDS),
  label: z.string(),
  address: z.string(),
  from: z.string().nullable(),
  to: z.array(z.string()),
  events: z.array(z.string()),
  language: z.enum(['de', 'en']),
  patience_minutes: z.int(),
  digest: z.boolean(),
  enabled: z.boolean(),
  disabled_reason: z.string().nullable(),
  last_ok_at: instant.nullable(),
  last_error: z.string().nullable(),
  last_error_at: instant.nullable(),
  waiting: z.int(),
})
export type TargetJson = z.infer<typeof target>

export const targetJson = (t: NotifyTarget): TargetJson => ({
  id: t.id,
  kind: t.kind,
  label: t.label,
  address: t.address,
  from: typeof t.settings['from'] === 'string' ? t.settings['from'] : null,
  to: Array.isArray(t.settings['to']) ? t.settings['to'].map(String) : [],
  events: [...t.events],
  language: t.language,
  patience_minutes: t.patienceMinutes,
  digest: t.digest,
  enabled: t.enabled,
  disabled_reason: t.disabledReason,
  last_ok_at: isoOrNull(t.lastOkAt),
  last_error: t.lastError,
  last_error_at: isoOrNull(t.lastErrorAt),
  waiting: t.waiting,
})

const about = {
  label: z.string().trim().min(1, 'is empty').max(200),
  events: z.array(eventPattern).max(20).default(['incident.*']),
  language: z.enum(['de', 'en']).default('en'),
  patience_minutes: z.int().min(0).max(1_440).default(5),
  digest: z.boolean().default(false),
}
const address = z
  .string()
  .trim()
  .regex(/^[^\s@<>]{1,64}@[^\s@<>]{1,250}$/, 'is not an e-mail address')
const https = z.url({ protocol: /^https$/, error: 'is not an https:// address' }).max(2_000)

export const newTarget = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('webhook'), address: https, ...about }),
  z.strictObject({
    kind: z.literal('command'),
    address: z.string().regex(/^[\w-]{1,40}$/, 'is not the name of a command'),
    ...about,
  }),
  z.strictObject({ kind: z.literal('heartbeat'), address: https, label: about.label }),
  z.strictObject({
    kind: z.literal('mail'),
    address: z.string().regex(/^[a-z0-9.-]{1,253}:\d{1,5}$/i, 'is not host:port'),
    security: z.enum(['tls', 'starttls']),
    from: address,
    to: z.array(address).min(1).max(20),
    username: z.string().max(320).optional(),
    password: z.string().max(1_000).optional(),
    ...about,
  }),
])
/** The secret of a hook is shown this once. */
export const targetMade = target.extend({ secret: z.string().nullable() })

export const delivery = z.object({
  id: z.int(),
  type: z.string(),
  state: z.string(),
  attempts: z.int(),
  created_at: instant,
  next_attempt_at: instant.nullable(),
  finished_at: instant.nullable(),
  last_status: z.int().nullable(),
  last_error: z.string().nullable(),
  payload: z.record(z.string(), z.unknown()),
})
export type DeliveryJson = z.infer<typeof delivery>
export const deliveryPage = pageOf(delivery)

export const deliveryJson = (d: DeliveryRow): DeliveryJson => ({
  id: d.id,
  type: d.type,
  state: d.state,
  attempts: d.attempts,
  created_at: iso(d.createdAt),
  next_attempt_at: d.state === 'waiting' ? iso(d.nextAttemptAt) : null,
  finished_at: isoOrNull(d.finishedAt),
  last_status: d.lastStatus,
  last_error: d.lastError,
  payload: d.payload,
})
