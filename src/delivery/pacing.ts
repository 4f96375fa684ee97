// The governor at work: what it decides is read from the tables and written to them, in the transactions of the lane.

import type { Failure } from '../base/failure.ts'
import { loadBudgets, lockBudget, saveLearned, saveSent, type SendBudgets } from '../db/budgets.ts'
import type { Tx } from '../db/database.ts'
import {
  forgetDestinations,
  lockDestinations,
  saveDestinations,
  type SlowDestination,
} from '../db/slow-destinations.ts'
import { charge, grant, isLimited, refund, type Counts, type Grant, type Request } from './governor.ts'
import { slowDown, type DestinationOutcome } from './slow-destination.ts'
import { learn, type Lesson } from './throttling.ts'

/** What chargeBudget writes down; of limited owners it is locked until the transaction ends. */
export interface Reservation {
  readonly grant: Grant
  readonly budgets: SendBudgets
}

/**
 * Inside the transaction that claims messages, after holdLease: how many may go. Where nothing is limited it reads one row of each
 * owner, and locks none. undefined: the account was deleted.
 */
export async function reserveBudget(tx: Tx, accountId: number, request: Request): Promise<Reservation | undefined> {
  let budgets = await loadBudgets(tx, accountId)
  if (!budgets) return undefined
  const limited = [budgets.account, budgets.client].filter((budget) => budget && isLimited(budget, request.now))
  if (limited.length > 0) {
    await lockBudgets(tx, {
      account: budgets.account,
      client: limited.includes(budgets.client) ? budgets.client : null,
    })
    budgets = (await loadBudgets(tx, accountId)) ?? budgets
  }
  return { grant: grant(budgets, request), budgets }
}

/** In the same transaction, after the claim. Of an app registration without limits nothing is counted. */
export async function chargeBudget(tx: Tx, { budgets }: Reservation, counts: Counts, now: Date): Promise<void> {
  if (counts.messages === 0) return
  const { account, client } = charge(budgets, counts, now)
  await saveSent(tx, account)
  if (client && isLimited(client, now)) await saveSent(tx, client)
}

/** Attempts that were given back before the message's bytes left cost nothing. Inside a transaction that has locked the account's lanes. */
export async function refundBudget(tx: Tx, accountId: number, counts: Counts, now: Date): Promise<void> {
  if (counts.messages === 0) return
  const budgets = await locked(tx, accountId, now)
  if (!budgets) return
  const { account, client } = refund(budgets, counts)
  await saveSent(tx, account)
  if (client && isLimited(client, now)) await saveSent(tx, client)
}

/**
 * Slows the mailbox down, or all of its app registration where the tenant is meant. undefined: the failure says nothing of our
 * pace. Inside a transaction that has locked the account's lanes.
 */
export async function learnBudget(
  tx: Tx,
  accountId: number,
  failure: Failure,
  now: Date,
  about: { acceptedRecipients?: number } = {},
): Promise<Omit<Lesson, 'budget'> | undefined> {
  const found = await loadBudgets(tx, accountId)
  if (!found || !learn(found.account, failure, now, about)) return undefined
  const owner = (failure.verdict.scope === 'tenant' ? found.client : null) ?? found.account
  await lockBudget(tx, owner)
  const budgets = await loadBudgets(tx, accountId)
  const before = owner.owner === 'client' ? budgets?.client : budgets?.account
  const lesson = before && learn(before, failure, now, about)
  if (!lesson) return undefined
  await saveLearned(tx, lesson.budget)
  return { pausedUntil: lesson.pausedUntil }
}

async function locked(tx: Tx, accountId: number, now: Date): Promise<SendBudgets | undefined> {
  const found = await loadBudgets(tx, accountId)
  if (!found) return undefined
  await lockBudgets(tx, { ...found, client: found.client && isLimited(found.client, now) ? found.client : null })
  return await loadBudgets(tx, accountId)
}

/** The account's before the client's: nobody waits for somebody who waits for him. */
async function lockBudgets(tx: Tx, { account, client }: SendBudgets): Promise<void> {
  await lockBudget(tx, account)
  if (client) await lockBudget(tx, client)
}

/** What the servers said to recipients, in the order of the answers. Domains in any case. */
export async function recordDestinations(
  tx: Tx,
  accountId: number,
  outcomes: readonly { readonly domain: string; readonly outcome: DestinationOutcome }[],
  now: Date,
): Promise<void> {
  if (outcomes.length === 0) return
  const byDomain = Map.groupBy(outcomes, ({ domain }) => domain.toLowerCase())
  const known = new Map<string, SlowDestination>()
  for (const row of await lockDestinations(tx, accountId, [...byDomain.keys()])) known.set(row.domain, row)
  const changed: SlowDestination[] = []
  const forgotten: string[] = []
  for (const [domain, answers] of byDomain) {
    const before = known.get(domain)
    const after = answers.reduce<ReturnType<typeof slowDown>>(
      (slow, { outcome }) => slowDown(slow, outcome, now),
      before,
    )
    if (after && after !== before) changed.push({ domain, ...after })
    if (!after && before) forgotten.push(domain)
  }
  await saveDestinations(tx, accountId, changed)
  await forgetDestinations(tx, accountId, forgotten)
}
