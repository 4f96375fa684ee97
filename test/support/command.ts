// The real command as a child process, as a user runs it: no settings of the test run leak into it.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'

const BIN = resolve(import.meta.dirname, '../../bin/poststelle')

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string | Buffer
  readonly cwd?: string
}

export interface CommandResult {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface RunningCommand {
  readonly child: ChildProcess
  readonly pid: number
  out(): string
  err(): string
  /** Resolves when the output matches; rejects when the process ends before. */
  until(pattern: RegExp): Promise<void>
  ended(): Promise<CommandResult>
}

export function startCommand(args: readonly string[], o: CommandOptions = {}): RunningCommand {
  const env = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/', LANG: 'C.UTF-8', ...o.env }
  const child = spawn(BIN, [...args], {
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(o.cwd !== undefined && { cwd: o.cwd }),
  })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  child.stdin.on('error', () => undefined) // it may end without reading
  child.stdin.end(o.input ?? '')
  const ended = once(child, 'close').then(() => ({ code: child.exitCode, out, err }))
  return {
    child,
    pid: child.pid ?? 0,
    out: () => out,
    err: () => err,
    ended: () => ended,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (pattern.test(out)) resolve()
        }
        child.stdout.on('data', look)
        look()
        void ended.then(({ code }) =>
          reject(new Error(`it ended (${code}) before ${String(pattern)} was seen:\n${out}\n${err}`)),
        )
      }),
  }
}

export const runCommand = (args: readonly string[], o: CommandOptions = {}): Promise<CommandResult> =>
  startCommand(args, o).ended()
