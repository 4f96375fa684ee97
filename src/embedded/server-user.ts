// As whom the server runs, and what ties its life to ours. Postgres refuses to run as root, so root drops to another
// user; where that user cannot reach the folders (a clone under /root), it keeps one capability to read past them.
// On Linux setpriv, of util-linux, does both; elsewhere the server is a plain child that outlives a kill -9.

import { readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UserError } from '../base/failure.ts'

export interface ServerUser {
  readonly uid: number
  readonly gid: number
}

export type Capability = 'dac_read_search' | 'dac_override'

const CAPABILITY_BITS = { dac_override: 1n, dac_read_search: 2n, setpcap: 8n } as const

/**
 * null: the server runs as whoever we are. Otherwise we are root, and an existing cluster keeps its owner: Postgres
 * starts only as the owner of its files.
 */
export function serverUser(cluster: string): ServerUser | null {
  if (process.getuid?.() !== 0) return null
  const owner = statSync(cluster, { throwIfNoEntry: false })
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  const rows = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const row = rows.find(([name]) => name === 'postgres') ?? rows.find(([name]) => name === 'nobody')
  if (!row)
    throw new UserError('Postgres does not run as root, and this machine has neither a user postgres nor nobody.')
  return { uid: Number(row[2]), gid: Number(row[3]) }
}

/** The words to put before a program so that it runs as `user`, gets `signal` when we die, and does not start if we are dead. */
export function launcher(signal: 'INT' | 'KILL', user: ServerUser | null, capability: Capability | null): string[] {
  if (process.platform !== 'linux') return []
  const words = ['setpriv', '--pdeathsig', signal]
  if (user) words.push(`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups')
  if (capability) {
    // Without no_setuid_fixup, access(2) answers for the bare user, and Postgres asks it whether its program is there.
    words.push('--securebits=+no_setuid_fixup')
    for (const set of ['inh-caps', 'ambient-caps', 'bounding-set']) words.push(`--${set}=-all,+${capability}`)
  }
  // We may have died before setpriv asked for the signal; then nobody would ever send it.
  return [...words, 'sh', '-c', '[ "$PPID" = "$0" ] && exec "$@"', String(process.pid)]
}

/** The capability `user` needs to run the programs under `root` and to reach `dataFolder`; null: none. Throws if it cannot be had. */
export function neededCapability(user: ServerUser | null, root: string, dataFolder: string): Capability | null {
  if (!user || process.platform !== 'linux') return null
  const program = join(root, 'bin', 'postgres')
  const readable = join(root, 'share', 'postgresql', 'postgres.bki')
  const blocked = [...ancestors(program), ...ancestors(readable), dataFolder, ...ancestors(dataFolder)].find(
    (folder) => !allows(folder, user, 0o1),
  )
  const noProgram = !allows(program, user, 0o5)
  if (!blocked && !noProgram && allows(readable, user, 0o4)) return null
  const held = heldCapabilities(readFileSync('/proc/self/status', 'utf8'))
  const usable = (noProgram ? (['dac_override'] as const) : (['dac_read_search', 'dac_override'] as const)).find(
    (name) => held.has(name),
  )
  if (usable && held.has('setpcap')) return usable
  throw new UserError(
    `Postgres does not run as root, and uid ${user.uid} cannot reach ${blocked ?? program}. ` +
      'Run poststelle as an ordinary user, put it and its data folder where others may enter, or set DATABASE_URL.',
  )
}

/** Which of the capabilities that matter here are both effective and inheritable through the bounding set. */
export function heldCapabilities(procStatus: string): Set<keyof typeof CAPABILITY_BITS> {
  const mask = (field: string): bigint =>
    BigInt(`0x${procStatus.match(new RegExp(`^${field}:\\s*(\\w+)$`, 'm'))?.[1] ?? 0}`)
  const held = mask('CapEff') & mask('CapBnd')
  const names = ['dac_override', 'dac_read_search', 'setpcap'] as const
  return new Set(names.filter((name) => (held >> CAPABILITY_BITS[name]) & 1n))
}

function allows(path: string, user: ServerUser, bits: number): boolean {
  const { mode, uid, gid } = statSync(path)
  const shift = uid === user.uid ? 6 : gid === user.gid ? 3 : 0
  return ((mode >> shift) & bits) === bits
}

function ancestors(path: string): string[] {
  const parent = dirname(path)
  return parent === path ? [] : [parent, ...ancestors(parent)]
}
