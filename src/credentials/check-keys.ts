// At start: every key that sealed something must be in the ring and be the right one, or nothing is started.

import { sampleSealedByKey } from '../db/grants.ts'
import type { Db } from '../db/database.ts'
import type { Vault } from '../secrets/vault.ts'
import { openCredential } from './sealed.ts'

/** Throws UserError that names the missing or wrong key. */
export async function checkKeys(db: Db, vault: Vault): Promise<void> {
  for (const grant of await sampleSealedByKey(db)) openCredential(vault, grant)
}
