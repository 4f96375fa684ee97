// At start: every key that sealed something must be in the ring and be the right one, or nothing is started.

import { sampleSealed } from '../db/sealed.ts'
import type { Db } from '../db/database.ts'
import type { Vault } from '../secrets/vault.ts'

/** Throws SecretUnreadable that names the missing or wrong key. */
export async function checkKeys(db: Db, vault: Vault): Promise<void> {
  for (const { place, value } of await sampleSealed(db))
    vault.open(value.sealed, { table: place.table, id: value.id, column: place.name })
}
