// How much may be sent now, and when more: limits of the mailbox and of the app registration it shares with others, in sliding
// windows of a minute and of a day. Pure: values in, values out.

import { HOUR_MS, later, SECOND_MS } from '../base/clock.ts'
import type { SendBudget, SendBudgets } from '../db/budgets.ts'
import type { RestReason } from '../db/schema.ts'
import { limitsNow, pausedUntil } from './limits.ts'
import { added, downTo, sumOf, takenBack, type Window } from './tally.ts'

export const LAST_MINUTE: Window = { slotMs: SECOND_MS, slots: 60 }
/** Of a minute, with the second that may count too much: so that a minute's mail does not leave in its first second. */
const LAST_QUARTER: Window = { slotMs: SECOND_MS, slots: 14 }
export const LAST_DAY: Window = { slotMs: HOUR_MS, slots: 24 }

export interface Counts {
  readonly messages: number
  readonly recipients: number
  /** Of the recipients, those outside the account's domain. */
  readonly external: number
}

export interface Rest {
  readonly until: Date
  readonly for: RestReason
}

export interface Grant {
  /** Messages that may go now, no more than were wanted; 0: `rest` says until when to wait. */
  readonly messages: number
  /** What is left of the day for them; Infinity where nothing limits it. */
  readonly recipients: number
  readonly external: number
  /** Nothing went out in a day: the first message may be larger than what a whole day admits, or it would wait for ever. */
  readonly untouchedDay: boolean
  /** At least 1; Infinity where the operator has switched the limit off. */
  readonly connections: number
  /** At most so many recipients in one transaction; Infinity where nothing limits it. */
  readonly recipientsPerMessage: number
  /** Fewer than were wanted: when it is worth to come back. */
  readonly rest: Rest | null
  /** For the message that does not fit into `recipients` or `external`: when there is room again. */
  readonly dayRest: Rest | null
}

export interface Request {
  /** How many messages are at hand. */
  readonly wanted: number
  readonly workerId: number
  readonly now: Date
}

export function grant(budgets: SendBudgets, { wanted, workerId, now }: Request): Grant {
  const { account, client } = budgets
  const own = limitsNow(account, now)
  const owners = client ? [account, client] : [account]
  const left = (budget: SendBudget): number =>
    Math.max(0, limitsNow(budget, now).recipientsPerDay - sumOf(budget.recipientsByHour, LAST_DAY, now))
  const recipients = left(account)
  const external = client ? left(client) : Infinity
  const dayRest = pick('earliest', owners, (budget) => restOfDay(budget, now))
  const paused = pick('latest', owners, (budget) => {
    const until = pausedUntil(budget, now)
    return until && { until, for: 'pause' }
  })
  // a message has one recipient at least, and mostly an external one
  const byDay = recipients === 0 || external === 0 ? 0 : Math.min(wanted, recipients)
  const messages = paused ? 0 : Math.min(byDay, ...owners.map((budget) => allowed(budget, now)))
  const waiting = wanted - messages
  const idleElsewhere = account.idle && account.idle.until > now && account.idle.workerId !== workerId ? 1 : 0
  return {
    messages,
    recipients,
    external,
    untouchedDay: owners.every(({ recipientsByHour }) => sumOf(recipientsByHour, LAST_DAY, now) === 0),
    connections: Math.max(1, own.connections - idleElsewhere),
    recipientsPerMessage: own.recipientsPerMessage,
    rest:
      paused ??
      (waiting === 0
        ? null
        : byDay === 0
          ? pick('latest', owners, (budget) => (left(budget) === 0 ? restOfDay(budget, now) : null))
          : (pick('latest', owners, (budget) => restOfRate(budget, now, { granted: messages, waiting })) ?? dayRest)),
    dayRest,
  }
}

/** How many of these messages, in their order, the day admits. */
export function fitting(given: Grant, messages: readonly Omit<Counts, 'messages'>[]): number {
  let { recipients, external } = given
  for (const [i, message] of messages.entries()) {
    recipients -= message.recipients
    external -= message.external
    const fits = (recipients >= 0 && external >= 0) || (i === 0 && given.untouchedDay)
    if (!fits || i >= given.messages) return i
  }
  return messages.length
}

/** Whether its pace is limited at all: then it has to be locked before it is asked. */
export function isLimited(budget: SendBudget, now: Date): boolean {
  const { messagesPerMinute, recipientsPerDay } = limitsNow(budget, now)
  return Math.min(messagesPerMinute, recipientsPerDay) < Infinity || pausedUntil(budget, now) !== null
}

/** What one quarter of a minute admits. */
const burst = (rate: number): number => Math.max(1, Math.ceil(rate / 4))

function allowed({ messagesBySecond, ...budget }: SendBudget, now: Date): number {
  const rate = limitsNow(budget, now).messagesPerMinute
  if (rate === Infinity) return Infinity
  const inMinute = Math.floor(rate) - sumOf(messagesBySecond, LAST_MINUTE, now)
  const inQuarter = burst(rate) - sumOf(messagesBySecond, LAST_QUARTER, now)
  return Math.max(0, Math.min(inMinute, inQuarter))
}

/** While a lot waits, until half a burst may go; a single message waits no longer than the rate demands. */
function restOfRate(
  budget: SendBudget,
  now: Date,
  { granted, waiting }: { granted: number; waiting: number },
): Rest | null {
  const rate = limitsNow(budget, now).messagesPerMinute
  if (rate === Infinity) return null
  const worth = Math.min(Math.ceil(burst(rate) / 2), waiting)
  const sent = added(budget.messagesBySecond, LAST_MINUTE, now, granted)
  const minute = downTo(sent, LAST_MINUTE, now, Math.floor(rate) - worth)
  const quarter = downTo(sent, LAST_QUARTER, now, burst(rate) - worth)
  return { until: minute > quarter ? minute : quarter, for: 'rate' }
}

function restOfDay({ recipientsByHour, ...budget }: SendBudget, now: Date): Rest | null {
  const { recipientsPerDay } = limitsNow(budget, now)
  if (recipientsPerDay === Infinity) return null
  const sent = sumOf(recipientsByHour, LAST_DAY, now)
  if (sent === 0) return { until: later(now, HOUR_MS), for: 'day' }
  return { until: downTo(recipientsByHour, LAST_DAY, now, Math.min(sent, recipientsPerDay) - 1), for: 'day' }
}

function pick(
  which: 'earliest' | 'latest',
  owners: readonly SendBudget[],
  restOf: (budget: SendBudget) => Rest | null,
): Rest | null {
  const rests = owners
    .flatMap((budget) => restOf(budget) ?? [])
    .toSorted((a, b) => a.until.getTime() - b.until.getTime())
  return rests.at(which === 'earliest' ? 0 : -1) ?? null
}

export function charge(budgets: SendBudgets, { messages, recipients, external }: Counts, now: Date): SendBudgets {
  const on = (budget: SendBudget, reached: number): SendBudget => ({
    ...budget,
    messagesBySecond: added(budget.messagesBySecond, LAST_MINUTE, now, messages),
    recipientsByHour: added(budget.recipientsByHour, LAST_DAY, now, reached),
  })
  return { account: on(budgets.account, recipients), client: budgets.client && on(budgets.client, external) }
}

/** Attempts that were given back before the message's bytes left have cost nothing. */
export function refund(budgets: SendBudgets, { messages, recipients, external }: Counts): SendBudgets {
  const on = (budget: SendBudget, reached: number): SendBudget => ({
    ...budget,
    messagesBySecond: takenBack(budget.messagesBySecond, messages),
    recipientsByHour: takenBack(budget.recipientsByHour, reached),
  })
  return { account: on(budgets.account, recipients), client: budgets.client && on(budgets.client, external) }
}

const domainOf = (address: string): string => address.slice(address.lastIndexOf('@') + 1).toLowerCase()

/** What one message costs. `recipients`: those it is still to be offered to. */
export const costOf = (accountEmail: string, recipients: readonly string[]): Counts => ({
  messages: 1,
  recipients: recipients.length,
  external: recipients.filter((address) => domainOf(address) !== domainOf(accountEmail)).length,
})
