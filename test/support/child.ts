// Runs a server program for a test: as a chosen user, with its words kept for the error, gone when the test run is gone,
// however that ends. It is stopped by its pid and by nothing else.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { answers } from './ports.ts'

export interface SystemUser {
  readonly uid: number
  readonly gid: number
}

export interface Program {
  readonly pid: number
  /** The last 8000 characters it wrote, to either stream. */
  output(): string
  /** Asks it to end, waits until it has, and insists after five seconds. */
  stop(): Promise<void>
}

export interface ProgramOptions {
  readonly user?: SystemUser | null
  readonly env?: Readonly<Record<string, string>>
  readonly stopSignal?: 'SIGTERM' | 'SIGINT'
}

export const isRoot = (): boolean => process.getuid?.() === 0

/** The row of /etc/passwd, or a sentence saying which package brings it. */
export function systemUser(name: string): SystemUser {
  const row = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([found]) => found === name)
  if (!row) throw new Error(`This machine has no user ${name}; the Debian package of that server makes it.`)
  return { uid: Number(row[2]), gid: Number(row[3]) }
}

/** A fresh folder that other users may enter. */
export function tempFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `poststelle-${name}-`))
  chmodSync(folder, 0o755)
  return folder
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}

/** Runs a program to its end and returns what it printed. */
export function runOnce(program: string, args: readonly string[], user: SystemUser | null = null): string {
  const [first = '', ...rest] = [...asUser(user), program, ...args]
  return execFileSync(first, rest, { encoding: 'utf8', cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] })
}

export function startProgram(program: string, args: readonly string[], o: ProgramOptions = {}): Program {
  const signal = o.stopSignal ?? 'SIGTERM'
  const [first = '', ...rest] = [...asUser(o.user ?? null, signal), program, ...args]
  const child = spawn(first, rest, {
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', ...o.env },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-8_000)))
  child.once('error', (error) => (output += error.message))
  const exited = child.exitCode === null ? once(child, 'exit').catch(() => {}) : Promise.resolve()
  const pid = child.pid ?? 0
  return {
    pid,
    output: () => output,
    async stop() {
      child.kill(signal)
      const insist = setTimeout(() => killGroup(pid), 5_000)
      await exited
      clearTimeout(insist)
      child.stdout.destroy()
      child.stderr.destroy()
    },
  }
}

/** It was started as the leader of its own group. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It ended by itself this instant.
  }
}

/** Waits until `port` answers; throws, with the program's own words, when the program ends before. */
export async function untilListening(
  program: Program,
  port: number,
  log = (): string => program.output(),
): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!(await answers(port))) {
    if (!isAlive(program.pid)) throw new Error(`The server ended at once: ${log()}`)
    if (Date.now() > deadline) throw new Error(`Port ${port} never answered: ${log()}`)
    await delay(10)
  }
}

/** Whether the process is there and not just a zombie. */
export function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** The session a process belongs to; a program started here leads its own. */
export function sessionOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[3])
}

/** Everything alive in a session: a server and its own children. */
export function aliveInSession(session: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        return isAlive(pid) && sessionOf(pid) === session
      } catch {
        return false // it ended while it was looked at
      }
    })
}

function asUser(user: SystemUser | null, signal?: 'SIGTERM' | 'SIGINT'): string[] {
  const words = ['setpriv']
  if (signal) words.push('--pdeathsig', signal.slice(3))
  if (user) words.push(`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups')
  return words.length > 1 ? words : []
}
