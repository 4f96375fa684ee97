// The fields of an account file that say how its maildrop is collected, and what they mean where they are left out. Pure.

import { z } from 'zod'
import type { MaildropPolicy } from '../db/maildrops.ts'

const MIB = 1024 * 1024

const whole = (least: number, lessThan: string, most: number, moreThan: string) =>
  z.int('is not a whole number').min(least, lessThan).max(most, moreThan)
const seconds = whole(5, 'is less than 5', 86_400, 'is more than a day')
const yesNo = z.boolean('must be true or false')
const days = (least: number, lessThan: string) => whole(least, lessThan, 36_500, 'is more than a hundred years')

export const maildropFields = {
  poll_interval_seconds: seconds.optional(),
  poll_interval_max_seconds: seconds.nullable().optional(),
  delete_after_days: days(0, 'is negative').nullable().optional(),
  delete_after_ack: yesNo.optional(),
  first_sync: z.enum(['all', 'from_now', 'last_days'], 'must be "all", "from_now" or "last_days"').optional(),
  first_sync_days: days(1, 'is less than 1').nullable().optional(),
  max_session_messages: whole(1, 'is less than 1', 100_000, 'is more than 100000').optional(),
  max_session_bytes: whole(MIB, 'is less than 1 MiB', 100 * 1024 * MIB, 'is more than 100 GiB').optional(),
  max_message_bytes: whole(64 * 1024, 'is less than 64 KiB', 1024 * MIB, 'is more than 1 GiB').optional(),
  freshness_minutes: whole(10, 'is less than 10', 366 * 1440, 'is more than a year')
    .nullable()
    .optional(),
  canary_minutes: whole(60, 'is less than 60', 7 * 1440, 'is more than a week')
    .nullable()
    .optional(),
}

type MaildropInput = z.infer<z.ZodObject<typeof maildropFields>>

/** Fields that contradict each other: field and problem. */
export function maildropProblems(input: MaildropInput): (readonly [field: string, problem: string])[] {
  const problems: (readonly [string, string])[] = []
  const days = input.first_sync_days ?? null
  if (input.first_sync === 'last_days' && days === null)
    problems.push(['first_sync_days', 'is missing; "first_sync": "last_days" needs it'])
  if (input.first_sync !== 'last_days' && days !== null)
    problems.push(['first_sync_days', 'has a meaning only with "first_sync": "last_days"'])
  const slow = input.poll_interval_max_seconds ?? null
  if (slow !== null && slow < (input.poll_interval_seconds ?? POLL_SECONDS))
    problems.push(['poll_interval_max_seconds', 'is less than poll_interval_seconds'])
  return problems
}

const POLL_SECONDS = 300

export const maildropPolicy = (input: MaildropInput): MaildropPolicy => ({
  pollIntervalSeconds: input.poll_interval_seconds ?? POLL_SECONDS,
  pollIntervalMaxSeconds: input.poll_interval_max_seconds ?? null,
  deleteAfterDays: input.delete_after_days ?? null,
  deleteAfterAck: input.delete_after_ack ?? false,
  firstSync: input.first_sync ?? 'all',
  firstSyncDays: input.first_sync_days ?? null,
  maxSessionMessages: input.max_session_messages ?? 5_000,
  maxSessionBytes: input.max_session_bytes ?? 500 * MIB,
  maxMessageBytes: input.max_message_bytes ?? 150 * MIB,
  freshnessMinutes: input.freshness_minutes ?? null,
  canaryMinutes: input.canary_minutes ?? null,
})
