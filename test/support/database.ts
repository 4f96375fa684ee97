// A migrated database of its own for each test file, in the server that the whole run shares.

import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { openDatabase, type Database } from '../../src/db/database.ts'
import { migrateUp } from '../../src/db/migrate.ts'
import { createDatabase, dropDatabase } from './postgres.ts'

export interface TestDatabase extends Database {
  readonly url: string
  /** Closes the pool and drops the database. */
  drop(): Promise<void>
}

export async function freshDatabase(options: { migrated?: boolean } = {}): Promise<TestDatabase> {
  const admin = inject('postgresUrl')
  const name = `t_${randomBytes(6).toString('hex')}`
  const url = await createDatabase(admin, name)
  const database = openDatabase(url, { max: 12 })
  if (options.migrated ?? true) await migrateUp(database.db)
  return {
    ...database,
    url,
    drop: async () => {
      await database.close()
      await dropDatabase(admin, name)
    },
  }
}
