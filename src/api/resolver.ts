// How names in a filter are found.

import { findAccount } from '../db/accounts.ts'
import type { Resolver } from '../contract/filter.ts'
import type { ApiContext } from './context.ts'

export const resolverOf = ({ db, clock }: ApiContext): Resolver => ({
  now: clock.now(),
  accountId: async (name) => (await findAccount(db, name)).id,
})
