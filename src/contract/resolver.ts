// How names in a filter are found.

import { findAccount } from '../db/accounts.ts'
import type { Db } from '../db/database.ts'
import type { Resolver } from './filter.ts'

export const resolverOf = (db: Db, now: Date): Resolver => ({
  now,
  accountId: async (name) => (await findAccount(db, name)).id,
})
