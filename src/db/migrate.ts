// Plain SQL files in migrations/, forward only, each in its own transaction; bookkeeping and locking by Kysely's migrator.

import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { sql } from 'kysely'
import { Migrator, type Migration, type MigrationProvider } from 'kysely/migration'
import { errorText, UserError } from '../base/failure.ts'
import type { Db } from './database.ts'

const FOLDER = path.resolve(import.meta.dirname, '../../migrations')

export interface MigrationState {
  readonly name: string
  /** undefined: still to be applied. */
  readonly appliedAt: Date | undefined
}

const files: MigrationProvider = {
  getMigrations: async () =>
    Object.fromEntries(
      migrationNames().map((name): [string, Migration] => [
        name,
        { up: async (db) => void (await sql.raw(readFileSync(path.join(FOLDER, `${name}.sql`), 'utf8')).execute(db)) },
      ]),
    ),
}

function migrationNames(): string[] {
  return readdirSync(FOLDER)
    .filter((file) => /^\d{4}_\w+\.sql$/.test(file))
    .map((file) => file.slice(0, -'.sql'.length))
    .sort()
}

const migrator = (db: Db): Migrator => new Migrator({ db, provider: files, migrationTableSchema: 'poststelle' })

/** Throws UserError when the database holds migrations that this version does not know. */
export async function migrationStatus(db: Db): Promise<MigrationState[]> {
  const applied = await appliedMigrations(db)
  const known = migrationNames()
  const unknown = [...applied.keys()].filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    throw new UserError(
      `the database is newer than this version of Poststelle: it has the migration ${unknown.join(', ')}, which is not known here; start the newer version`,
    )
  }
  return known.map((name) => ({ name, appliedAt: applied.get(name) }))
}

/** Applies what is missing and returns its names. Two processes may call it at once: one applies, the other waits. */
export async function migrateUp(db: Db): Promise<string[]> {
  await migrationStatus(db)
  const { error, results = [] } = await migrator(db).migrateToLatest()
  if (error !== undefined) {
    const failed = results.find((result) => result.status === 'Error')
    throw new UserError(
      `migration ${failed?.migrationName ?? ''} failed, nothing of it was kept: ${errorText(error)}`,
      { cause: error },
    )
  }
  return results.map((result) => result.migrationName)
}

/** Throws UserError unless the database is exactly at this version. */
export async function requireMigrated(db: Db): Promise<void> {
  const missing = (await migrationStatus(db)).filter((state) => state.appliedAt === undefined)
  if (missing.length > 0) {
    throw new UserError(
      `the database lacks ${missing.length === 1 ? 'the migration' : 'the migrations'} ${missing.map((m) => m.name).join(', ')}; run "poststelle migrate up"`,
    )
  }
}

async function appliedMigrations(db: Db): Promise<Map<string, Date>> {
  const present = await sql<{
    there: boolean
  }>`select to_regclass('poststelle.kysely_migration') is not null as there`.execute(db)
  if (!present.rows[0]?.there) return new Map()
  const rows = await sql<{
    name: string
    timestamp: string
  }>`select name, timestamp from poststelle.kysely_migration order by name`.execute(db)
  return new Map(rows.rows.map((row) => [row.name, new Date(row.timestamp)]))
}
