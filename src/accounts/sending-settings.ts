// The fields of an account file that say how much its account and its app registration may send. Pure.

import { z } from 'zod'
import type { SendingLimits } from '../db/accounts.ts'
import type { ClientLimits } from '../db/oauth-clients.ts'

/** null: as the provider's preset says. 0, in words "unlimited": no limit. */
function limit(most: number) {
  const problem = `must be a whole number from 0 to ${most}, or "unlimited"`
  const whole = z.int(problem).min(0, problem).max(most, problem)
  return z.preprocess((value) => (value === 'unlimited' ? 0 : value), whole.nullable().optional())
}

const MESSAGES_PER_MINUTE = limit(1_000_000)
const RECIPIENTS_PER_DAY = limit(100_000_000)

export const sendingFields = {
  sending: z
    .strictObject(
      {
        connections: limit(100),
        messages_per_minute: MESSAGES_PER_MINUTE,
        recipients_per_day: RECIPIENTS_PER_DAY,
        recipients_per_message: limit(100_000),
      },
      'is not an object',
    )
    .optional(),
  uncertain_policy: z.enum(['retry_once', 'hold', 'retry'], 'must be "retry_once", "hold" or "retry"').optional(),
}

export const clientLimits = z
  .strictObject(
    {
      licences: z
        .int('is not a whole number')
        .min(1, 'is less than 1')
        .max(10_000_000, 'is more than 10000000')
        .nullable()
        .optional(),
      recipients_per_day: RECIPIENTS_PER_DAY,
      messages_per_minute: MESSAGES_PER_MINUTE,
    },
    'is not an object',
  )
  .optional()

type SendingInput = z.infer<z.ZodObject<typeof sendingFields>>

export const sendingLimits = ({ sending }: SendingInput): SendingLimits => ({
  connections: sending?.connections ?? null,
  messagesPerMinute: sending?.messages_per_minute ?? null,
  recipientsPerDay: sending?.recipients_per_day ?? null,
  recipientsPerMessage: sending?.recipients_per_message ?? null,
})

export const toClientLimits = (input: NonNullable<z.infer<typeof clientLimits>>): ClientLimits => ({
  licences: input.licences ?? null,
  recipientsPerDay: input.recipients_per_day ?? null,
  messagesPerMinute: input.messages_per_minute ?? null,
})
