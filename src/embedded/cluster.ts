// Makes the database cluster of a data folder and keeps its password. A cluster is made beside its place and moved there
// whole, so an interrupted initdb leaves only a folder that the next start throws away.

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { errorCode, UserError } from '../base/failure.ts'
import type { Binaries } from './binaries.ts'
import { launcher, type Capability, type ServerUser } from './server-user.ts'

export const SUPERUSER = 'poststelle'

export interface Runner {
  readonly binaries: Binaries
  readonly user: ServerUser | null
  readonly capability: Capability | null
}

/** Creates the data folder if it is not there, closed to everybody but us and the server, and returns its real path. */
export function makeDataFolder(dataFolder: string, user: ServerUser | null): string {
  if (!existsSync(dataFolder)) {
    mkdirSync(dataFolder, { recursive: true, mode: 0o700 })
    if (user) {
      chownSync(dataFolder, 0, user.gid)
      chmodSync(dataFolder, 0o710)
    }
  }
  try {
    accessSync(dataFolder, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new UserError(`The data folder ${dataFolder} belongs to another user; run poststelle as that user.`, {
      cause,
    })
  }
  return realpathSync(dataFolder)
}

export const clusterFolder = (dataFolder: string): string => join(dataFolder, 'postgres')

export function readPassword(dataFolder: string): string {
  const file = passwordFile(dataFolder)
  if (existsSync(file)) return readFileSync(file, 'utf8').trim()
  throw new UserError(
    `${file} is gone; without it the database beside it cannot be opened. Put it back from your backup.`,
  )
}

/** Makes the cluster unless it is there; about one second. */
export async function ensureCluster(dataFolder: string, runner: Runner, log: (line: string) => void): Promise<void> {
  const cluster = clusterFolder(dataFolder)
  for (const name of readdirSync(dataFolder)) {
    if (name.startsWith('postgres.new-'))
      rmSync(join(dataFolder, name), { recursive: true, force: true, maxRetries: 5 })
  }
  if (existsSync(join(cluster, 'global', 'pg_control'))) return
  if (existsSync(cluster) && readdirSync(cluster).length > 0)
    throw new UserError(
      `${cluster} does not hold a whole database cluster. Restore it from your backup, or move it away to begin anew.`,
    )
  log('creating the database cluster')
  writePassword(dataFolder, runner.user)
  const staging = join(dataFolder, `postgres.new-${process.pid}`)
  mkdirSync(staging, { mode: 0o700 })
  if (runner.user) chownSync(staging, runner.user.uid, runner.user.gid)
  await initdb(staging, passwordFile(dataFolder), runner)
  renameSync(staging, cluster)
}

async function initdb(cluster: string, pwfile: string, { binaries, user, capability }: Runner): Promise<void> {
  const words = [...launcher('KILL', user, capability), binaries.initdb, '-D', cluster, '-U', SUPERUSER]
  words.push('--auth=scram-sha-256', `--pwfile=${pwfile}`, '--encoding=UTF8', '--locale=C', '--data-checksums')
  const [program = '', ...args] = words
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: serverEnv(binaries), cwd: '/' })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  await once(child, 'close').catch(explainSpawn)
  if (child.exitCode !== 0)
    throw new UserError(`initdb could not make the database cluster: ${errors.trim().slice(-800)}`)
}

/** Only what the programs need: nothing of our own environment, PGDATA above all, may leak in. */
export function serverEnv(binaries: Binaries): Record<string, string> {
  return { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', ...binaries.env }
}

export function explainSpawn(cause: unknown): never {
  if (errorCode(cause) !== 'ENOENT') throw cause
  throw new UserError('The built-in Postgres needs setpriv, of util-linux. Install that, or set DATABASE_URL.', {
    cause,
  })
}

function passwordFile(dataFolder: string): string {
  return join(dataFolder, 'postgres-password')
}

function writePassword(dataFolder: string, user: ServerUser | null): void {
  const file = passwordFile(dataFolder)
  rmSync(file, { force: true })
  writeFileSync(file, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 })
  if (user) chownSync(file, user.uid, user.gid)
}
