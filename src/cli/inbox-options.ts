// What the commands of `poststelle inbox` take: ids, times, and which messages are meant.

import { InvalidArgumentError, type Command } from 'commander'
import { UserError } from '../base/failure.ts'
import { inboxFilterOf } from '../contract/filter.ts'
import { resolverOf } from '../contract/resolver.ts'
import { parseWhen, type When } from '../contract/when.ts'
import { findAccount } from '../db/accounts.ts'
import type { Db } from '../db/database.ts'
import type { InboxFilter } from '../db/inbox.ts'

export interface FilterOptions {
  readonly filter?: string
  readonly account?: string
  readonly since?: When
  readonly search?: string
}

/** A whole number from 1, such as an id. */
export function positive(text: string): number {
  const value = Number(text)
  if (!/^\d{1,15}$/.test(text) || value < 1) throw new InvalidArgumentError('It is a whole number from 1.')
  return value
}

export type { When }

export function when(text: string): When {
  const at = parseWhen(text)
  if (!at)
    throw new InvalidArgumentError(
      'It is a date such as 2026-11-23 or 2026-11-23T08:00Z, or a time back such as 7d or 12h.',
    )
  return at
}

/** A query of many thousand words is too much for the database, which says so in words of its own. */
const SEARCH_CHARS = 2_000

/** `example`: one that the list takes. */
export const filterOption = (example: string): [flags: string, description: string] => [
  '--filter <text>',
  `as on the pages: "${example}", words with and without a field`,
]

export const addFilterOptions = (command: Command): Command =>
  command
    .option(...filterOption('from:@kunde.example rechnung'))
    .option('--account <id or e-mail>', 'only mail of this account')
    .option('--since <date or 7d>', 'only mail stored since then: a date, an instant, or so many h, d or w back', when)
    .option('--search <words>', 'only mail with these words; "a phrase", or, -without')

/** Throws UserError where the account is not known. */
export async function inboxFilter(
  db: Db,
  now: Date,
  { filter, account, since, search }: FilterOptions,
): Promise<InboxFilter> {
  if (search?.trim() === '') throw new UserError('--search: has no word in it', { exitCode: 2 })
  if (search !== undefined && search.length > SEARCH_CHARS)
    throw new UserError(`--search: is longer than ${SEARCH_CHARS} characters; fewer words find more`, { exitCode: 2 })
  return {
    ...(filter !== undefined && (await inboxFilterOf(filter, resolverOf(db, now)))),
    ...(account !== undefined && { accountId: (await findAccount(db, account)).id }),
    ...(since && { since: since(now) }),
    ...(search !== undefined && { search }),
  }
}

export const noMessage = (id: number): UserError =>
  new UserError(`there is no message ${id}; "poststelle inbox list" shows what is there`)
