// What the commands of `poststelle outbox` take: which messages are meant.

import { InvalidArgumentError, type Command } from 'commander'
import { UserError } from '../base/failure.ts'
import { outboxFilterOf } from '../contract/filter.ts'
import { resolverOf } from '../contract/resolver.ts'
import { findAccount } from '../db/accounts.ts'
import type { Db } from '../db/database.ts'
import { HOLD_REASONS, OUTBOUND_STATES, type HoldReason, type OutboxFilter } from '../db/outbox.ts'
import type { OutboundState } from '../db/schema-outbound.ts'
import { filterOption, when, type When } from './inbox-options.ts'
import { printableLine } from './printable.ts'

export interface OutboxFilterOptions {
  readonly filter?: string
  readonly account?: string
  readonly state?: OutboundState[]
  readonly reason?: HoldReason[]
  readonly flag?: string
  readonly to?: string
  readonly subject?: string
  readonly messageId?: string
  readonly idempotencyKey?: string
  readonly since?: When
  readonly before?: When
}

/** Several words of a list, by commas or by naming the option again. */
const listOf =
  <T extends string>(allowed: readonly T[]) =>
  (text: string, previous: T[] = []): T[] => {
    const words = text.split(',').map((word) => word.trim())
    const wrong = words.find((word) => !allowed.includes(word as T))
    if (wrong !== undefined) throw new InvalidArgumentError(`Allowed are ${allowed.join(', ')}.`)
    return [...previous, ...(words as T[])]
  }

const domain = (text: string): string => text.trim().replace(/^@/, '')

export const addOutboxFilterOptions = (command: Command): Command =>
  command
    .option(...filterOption('status:deferred to:@kunde.example'))
    .option('--account <id or e-mail>', 'only mail of this account')
    .option('--state <state,...>', `only in these states: ${OUTBOUND_STATES.join(', ')}`, listOf(OUTBOUND_STATES))
    .option('--reason <reason,...>', `only held for these reasons: ${HOLD_REASONS.join(', ')}`, listOf(HOLD_REASONS))
    .option('--flag <flag>', 'only with this cause, of the message or of a recipient')
    .option('--to <address or domain>', 'only to this recipient, or to recipients of this domain', domain)
    .option('--subject <text>', 'only with this text in the subject')
    .option('--message-id <id>', 'only with this Message-ID')
    .option('--idempotency-key <key>', 'only with this idempotency key')
    .option('--since <date or 7d>', 'only accepted since then: a date, an instant, or so many h, d or w back', when)
    .option('--before <date or 7d>', 'only accepted before that', when)

/** Throws UserError where the account is not known. Empty: nothing narrows. */
export async function outboxFilter(db: Db, now: Date, options: OutboxFilterOptions): Promise<OutboxFilter> {
  const { account, state, reason, flag, to, subject, messageId, idempotencyKey, since, before } = options
  return {
    ...(options.filter !== undefined && (await outboxFilterOf(options.filter, resolverOf(db, now)))),
    ...(account !== undefined && { accountId: (await findAccount(db, account)).id }),
    ...(state && { states: state }),
    ...(reason && { holdReasons: reason }),
    ...(flag !== undefined && { flag }),
    ...(to !== undefined && { recipient: to }),
    ...(subject !== undefined && { subject }),
    ...(messageId !== undefined && { messageId }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(since && { since: since(now) }),
    ...(before && { before: before(now) }),
  }
}

export const isNarrow = (options: OutboxFilterOptions): boolean => {
  const { filter, account, state, reason, flag, to, subject, messageId, idempotencyKey, since, before } = options
  return [filter, account, state, reason, flag, to, subject, messageId, idempotencyKey, since, before].some(
    (value) => value !== undefined,
  )
}

export function outboxId(text: string): number {
  if (!/^\d{1,15}$/.test(text) || Number(text) < 1)
    throw new UserError(`"${printableLine(text, 60)}" is not the id of a message`, { exitCode: 2 })
  return Number(text)
}
