// The program inside the test's own process, on a real installation: what it prints is kept, and its terminal may be one.

import { readConfig } from '../../src/base/config.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { runProgram } from '../../src/cli/program.ts'
import { openInstallation } from '../../src/compose.ts'
import type { TestHouse } from './house.ts'

export interface ProgramResult {
  readonly code: number
  readonly out: string
  /** What went to standard output as bytes. */
  readonly bytes: Buffer
  readonly err: string
}

export interface ProgramOptions {
  readonly input?: string
  readonly isTTY?: boolean
  readonly columns?: number
  readonly errIsTTY?: boolean
  /** What somebody types, question by question; without it nobody is there. */
  readonly answers?: readonly string[]
  readonly stopSignal?: Promise<string>
}

export type RunProgram = (args: readonly string[], o?: ProgramOptions) => Promise<ProgramResult>

export function programOn(
  { database, keys }: Pick<TestHouse, 'database' | 'keys'>,
  settings: Readonly<Record<string, string>> = {},
): RunProgram {
  const env = { DATABASE_URL: database.url, POSTSTELLE_KEYS: keys, ...settings }
  return async (args, o = {}) => {
    const texts = { out: '', err: '' }
    const pieces: Buffer[] = []
    const answers = [...(o.answers ?? [])]
    const notHere = (): never => {
      throw new Error('this command needs the real process')
    }
    const code = await runProgram(args, {
      version: '0',
      terminal: {
        isTTY: o.isTTY ?? false,
        errIsTTY: o.errIsTTY ?? false,
        inIsTTY: o.answers !== undefined,
        columns: o.columns ?? 120,
        out: (text) => void (texts.out += text),
        err: (text) => void (texts.err += text),
        write: async (bytes) => void pieces.push(bytes),
        stdin: async () => Buffer.from(o.input ?? ''),
        abort: notHere,
        ask: async (question) => {
          texts.err += question
          return answers.shift() ?? ''
        },
        stopSignal: () => o.stopSignal ?? new Promise(() => undefined),
      },
      readConfig: () => readConfig(env),
      createLogger: () => silentLogger,
      openInstallation,
      startService: notHere,
    })
    return { code, ...texts, bytes: Buffer.concat(pieces) }
  }
}
