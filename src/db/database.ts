// The connection pool, the typed query builder on it, and transactions.

import { Kysely, PostgresDialect, type RawBuilder, type Transaction } from 'kysely'
import pg from 'pg'
import { errorCode, errorText, UserError } from '../base/failure.ts'
import type { Tables } from './schema.ts'

export type Db = Kysely<Tables>
export type Tx = Transaction<Tables>
/** Either: for statements that may run alone or inside the caller's transaction. */
export type DbOrTx = Db | Tx

export interface Database {
  readonly db: Db
  /** For COPY, LISTEN and session locks, which the query builder does not have. */
  readonly pool: pg.Pool
  close(): Promise<void>
}

export const OLDEST_POSTGRES = 15

const INT8_OID = pg.types.builtins.INT8
const NUMERIC_OID = pg.types.builtins.NUMERIC

// ids, counts and sizes stay below 2^53
const numbers: pg.CustomTypesConfig = {
  getTypeParser: (type, format) =>
    type === INT8_OID || type === NUMERIC_OID ? Number : pg.types.getTypeParser(type, format),
}

export function openDatabase(url: string, options: { max: number; onIdleError?: (error: Error) => void }): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max,
    types: numbers,
    keepAlive: true,
    connectionTimeoutMillis: 15_000,
  })
  let closing = false
  surviveBrokenConnections(pool, (error) => {
    if (!closing) options.onIdleError?.(error)
  })
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) }).withSchema('poststelle')
  return {
    db,
    pool,
    close: () => {
      closing = true
      return db.destroy()
    },
  }
}

/** One statement that runs so often that planning it every time would cost more than running it; `name` is the statement's alone. */
export async function prepared<R extends pg.QueryResultRow>(
  { db, pool }: Pick<Database, 'db' | 'pool'>,
  name: string,
  statement: RawBuilder<unknown>,
): Promise<pg.QueryResult<R>> {
  const { sql: text, parameters } = statement.compile(db)
  return await pool.query<R>({ name, text, values: [...parameters] })
}

/**
 * A connection that breaks between two statements says so by an event, and an event nobody listens to ends the process. The
 * pool listens only to those that lie idle; the statement that comes next on the others fails by itself.
 */
export function surviveBrokenConnections(pool: pg.Pool, onBroken: (error: Error) => void): void {
  pool.on('error', onBroken)
  pool.on('connect', (client) => client.on('error', () => undefined))
}

/** SQLSTATE of classes 22 and 54: the database refuses these values, and would again; anything else is trouble of another kind. */
export function refusedValues(error: unknown): string | undefined {
  const code = errorCode(error)
  return /^(?:22|54)/.test(code) ? code : undefined
}

/** One line about a database that cannot be reached; never repeats the URL, which may hold a password. */
export function unreachable(error: unknown): UserError {
  const where = error instanceof AggregateError ? error.errors.map(errorText).join('; ') : errorText(error)
  return new UserError(`DATABASE_URL: the database cannot be used: ${where || errorCode(error)}`, { cause: error })
}

/** Throws UserError when the server is not there or too old. */
export async function checkServer(pool: pg.Pool): Promise<void> {
  const version = await pool
    .query<{ v: string }>(`select current_setting('server_version_num') as v`)
    .catch((error: unknown) => {
      throw unreachable(error)
    })
  const major = Math.floor(Number(version.rows[0]?.v) / 10_000)
  if (major < OLDEST_POSTGRES) {
    throw new UserError(`DATABASE_URL: the server is PostgreSQL ${major}; needed is ${OLDEST_POSTGRES} or newer`)
  }
}

/** How far the database's clock is ahead of this machine's, in milliseconds: every due time is compared with it. */
export async function clockAheadMs(pool: pg.Pool): Promise<number> {
  const before = Date.now()
  const { rows } = await pool.query<{ at: Date }>('select clock_timestamp() as at')
  const middle = before + (Date.now() - before) / 2
  return Math.round((rows[0]?.at.getTime() ?? middle) - middle)
}
