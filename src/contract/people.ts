// Operators, their sessions, tokens of programs, and the audit log, as the interface tells them.

import { z } from 'zod'
import type { AuditRow } from '../db/audit.ts'
import type { Operator } from '../db/operators.ts'
import { ROLES_OF_PEOPLE } from '../db/schema-people.ts'
import type { ApiToken, SessionRow } from '../db/sessions.ts'
import { instant, iso, isoOrNull, pageOf } from './basics.ts'

export const role = z.enum(ROLES_OF_PEOPLE)
const name = z
  .string()
  .trim()
  .min(1, 'is empty')
  .max(254, 'is too long')
  .regex(/^[^\s\p{Cc}]+$/u, 'contains a blank or a control character')
export const password = z.string().min(12, 'has fewer than 12 characters').max(200, 'has more than 200 characters')
const code = z.string().regex(/^\d{6}$/, 'is not six digits')
const lang = z.enum(['de', 'en'])

export const me = z.object({
  name: z.string(),
  role,
  may_read_mail: z.boolean(),
  language: lang.nullable(),
  totp: z.boolean(),
})
export type Me = z.infer<typeof me>

/** What the pages ask first. */
export const sessionState = z.object({
  me: me.nullable(),
  /** Nobody can log in yet: the link of the first set-up is needed. */
  set_up: z.boolean(),
  version: z.string(),
  environment: z.string(),
})
export type SessionState = z.infer<typeof sessionState>

export const login = z.strictObject({ name: z.string().max(254), password: z.string().max(200), code: code.optional() })
export const invitationState = z.object({ first: z.boolean(), name: z.string().nullable() })
export type InvitationState = z.infer<typeof invitationState>
export const acceptInvitation = z.strictObject({ name: name.optional(), password, language: lang.optional() })

export const operator = z.object({
  id: z.int(),
  name: z.string(),
  role,
  may_read_mail: z.boolean(),
  totp: z.boolean(),
  invited: z.boolean(),
  disabled_at: instant.nullable(),
  created_at: instant,
  last_login_at: instant.nullable(),
})
export type OperatorJson = z.infer<typeof operator>

export const operatorJson = (o: Operator): OperatorJson => ({
  id: o.id,
  name: o.name,
  role: o.role,
  may_read_mail: o.mayReadMail,
  totp: o.totpConfirmedAt !== null,
  invited: o.passwordHash === null,
  disabled_at: isoOrNull(o.disabledAt),
  created_at: iso(o.createdAt),
  last_login_at: isoOrNull(o.lastLoginAt),
})

export const newOperator = z.strictObject({ name, role, may_read_mail: z.boolean().default(false) })
export const operatorChange = z.strictObject({
  role: role.optional(),
  may_read_mail: z.boolean().optional(),
  disabled: z.boolean().optional(),
})
export const invitation = z.object({ operator: z.string(), url: z.string(), expires_at: instant })
export type InvitationJson = z.infer<typeof invitation>

export const myChange = z.strictObject({ language: lang.optional() })
export const passwordChange = z.strictObject({ current: z.string().max(200), password })
export const totpBegun = z.object({ secret: z.string(), uri: z.string() })
export const totpConfirm = z.strictObject({ code })
export const passwordOnly = z.strictObject({ password: z.string().max(200) })

export const session = z.object({
  id: z.int(),
  operator: z.string(),
  created_at: instant,
  seen_at: instant,
  expires_at: instant,
  ip: z.string(),
  user_agent: z.string(),
  own: z.boolean(),
})
export type SessionJson = z.infer<typeof session>

export const sessionJson = (s: SessionRow, own: number | undefined): SessionJson => ({
  id: s.id,
  operator: s.operator,
  created_at: iso(s.createdAt),
  seen_at: iso(s.seenAt),
  expires_at: iso(s.expiresAt),
  ip: s.ip,
  user_agent: s.userAgent,
  own: s.id === own,
})

export const token = z.object({
  id: z.int(),
  label: z.string(),
  prefix: z.string(),
  role,
  may_read_mail: z.boolean(),
  may_send: z.boolean(),
  created_by: z.string(),
  created_at: instant,
  expires_at: instant.nullable(),
  last_used_at: instant.nullable(),
})
export type TokenJson = z.infer<typeof token>

export const tokenJson = (t: ApiToken): TokenJson => ({
  id: t.id,
  label: t.label,
  prefix: t.prefix,
  role: t.role,
  may_read_mail: t.mayReadMail,
  may_send: t.maySend,
  created_by: t.createdBy,
  created_at: iso(t.createdAt),
  expires_at: isoOrNull(t.expiresAt),
  last_used_at: isoOrNull(t.lastUsedAt),
})

export const newToken = z.strictObject({
  label: z.string().trim().min(1, 'is empty').max(200),
  role,
  may_read_mail: z.boolean().default(false),
  may_send: z.boolean().default(false),
  days: z.int().min(1).max(3_650).nullable().default(null),
})
/** The token is shown this once. */
export const tokenMade = token.extend({ token: z.string() })

export const auditEntry = z.object({
  id: z.int(),
  at: instant,
  actor_kind: z.string(),
  actor: z.string(),
  ip: z.string().nullable(),
  action: z.string(),
  object: z.string(),
  details: z.record(z.string(), z.unknown()),
  reason: z.string().nullable(),
})
export type AuditEntryJson = z.infer<typeof auditEntry>
export const auditPage = pageOf(auditEntry)

export const auditJson = (a: AuditRow): AuditEntryJson => ({
  id: a.id,
  at: iso(a.at),
  actor_kind: a.actorKind,
  actor: a.actor,
  ip: a.ip,
  action: a.action,
  object: a.object,
  details: a.details,
  reason: a.reason,
})
export const auditCheck = z.object({ entries: z.int(), broken: z.array(z.int()) })
