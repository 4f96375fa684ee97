import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrateUp, migrationStatus, requireMigrated } from '../../../src/db/migrate.ts'
import { freshDatabase, type TestDatabase } from '../../support/database.ts'
import { postgresBin } from '../../support/postgres.ts'

describe('migrations', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await freshDatabase({ migrated: false })
  })
  afterAll(() => database.drop())

  test('an empty database is told to be migrated, and two processes that do it at once do it once', async () => {
    await expect(requireMigrated(database.db)).rejects.toThrow(
      /lacks the migrations 0001_accounts.*poststelle migrate up/,
    )
    const results = await Promise.all([migrateUp(database.db), migrateUp(database.db)])
    expect(results.flat().sort()).toEqual((await migrationStatus(database.db)).map(({ name }) => name))
    await expect(requireMigrated(database.db)).resolves.toBeUndefined()
  })

  test('the schema is the one written down in migrations/schema.sql', async () => {
    const dump = execFileSync(
      join(postgresBin(), 'pg_dump'),
      ['--schema-only', '--no-owner', '--schema=poststelle', database.url],
      { encoding: 'utf8' },
    )
    const statements = dump
      .split('\n')
      .filter((line) => !/^(--|\\|SET |SELECT pg_catalog|$)/.test(line))
      .join('\n')
    await expect(`${statements}\n`).toMatchFileSnapshot('../../../migrations/schema.sql')
  })

  test('a database that is newer than the code is refused by name', async () => {
    await sql`insert into poststelle.kysely_migration (name, timestamp) values ('9999_from_the_future', '2030-01-01T00:00:00Z')`.execute(
      database.db,
    )
    await expect(migrateUp(database.db)).rejects.toThrow(/newer than this version.*9999_from_the_future/)
    await expect(requireMigrated(database.db)).rejects.toThrow(/newer/)
  })
})
