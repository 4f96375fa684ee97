// Budgets as values, for tables.

import { Failure, type Scope } from '../../src/base/failure.ts'
import type { SendBudget, SendBudgets } from '../../src/db/budgets.ts'
import { refuse } from '../../src/failures/classify.ts'

type Settings = Partial<SendBudget['settings']>

export const budget = (settings: Settings = {}, over: Partial<SendBudget> = {}): SendBudget => ({
  owner: 'account',
  ownerId: 1,
  settings: {
    connections: null,
    messagesPerMinute: null,
    recipientsPerDay: null,
    recipientsPerMessage: null,
    licences: null,
    ...settings,
  },
  messagesBySecond: {},
  recipientsByHour: {},
  learned: { connections: null, messagesPerMinute: null, recipientsPerDay: null, recipientsPerMessage: null },
  pause: null,
  pauses: 0,
  idle: null,
  ...over,
})

export const budgets = (account: SendBudget, client: SendBudget | null = null): SendBudgets => ({ account, client })

/** A refusal as its server words it. */
export const refusedWith = (reply: string, step = 'mail'): Failure =>
  refuse({ provider: 'generic', stage: 'smtp', step, reply })

export const failureOf = (flag: string, over: { scope?: Scope; retryAfterMs?: number } = {}): Failure =>
  new Failure(
    {
      flag,
      scope: over.scope ?? 'account',
      persistence: 'transient',
      blocks: ['send'],
      ...(over.retryAfterMs !== undefined && { retryAfterMs: over.retryAfterMs }),
    },
    { stage: 'smtp', step: 'mail', evidence: flag },
  )
