// `poststelle migrate`: shows or applies the database's migrations.

import type { Command } from 'commander'
import { migrateUp, migrationStatus } from '../db/migrate.ts'
import type { CommandContext } from './installation.ts'
import { answer, JSON_FLAG, table, withInstallation, type JsonOption } from './run.ts'

export function addMigrateCommand(program: Command, ctx: CommandContext): void {
  const migrate = program.command('migrate').description('the database schema')
  migrate
    .command('status', { isDefault: true })
    .description('show which migrations are applied')
    .option(...JSON_FLAG)
    .action((options: JsonOption) =>
      withInstallation(
        ctx,
        async ({ db }) => {
          const states = await migrationStatus(db)
          answer(
            ctx,
            options,
            states.map(({ name, appliedAt }) => ({ name, applied_at: appliedAt ?? null })),
            () =>
              table(
                states.map(({ name, appliedAt }) => [
                  name,
                  appliedAt ? `applied ${appliedAt.toISOString()}` : 'missing',
                ]),
                ctx.terminal.columns,
              ),
          )
        },
        { migrations: 'leave' },
      ),
    )
  migrate
    .command('up')
    .description('apply what is missing')
    .option(...JSON_FLAG)
    .action((options: JsonOption) =>
      withInstallation(
        ctx,
        async ({ db }) => {
          const applied = await migrateUp(db)
          answer(ctx, options, { applied }, () =>
            applied.length > 0 ? `applied ${applied.join(', ')}\n` : 'nothing to do, the database is up to date\n',
          )
        },
        { migrations: 'leave', existing: false },
      ),
    )
}
