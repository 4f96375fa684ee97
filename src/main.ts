// The entry of every command: wires the real terminal to the program and turns its outcome into an exit code.

import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { createLogger } from './base/logger.ts'
import { readConfig } from './base/config.ts'
import type { Terminal } from './cli/installation.ts'
import { runProgram } from './cli/program.ts'
import { openInstallation, startService, VERSION } from './compose.ts'

/** Ctrl-C under npm comes twice, from the terminal and from npm: what follows that closely is not impatience. */
const SAME_SIGNAL_MS = 1_500

const terminal: Terminal = {
  isTTY: process.stdout.isTTY ?? false,
  get columns() {
    return process.stdout.columns || 120 // 0: a terminal that does not know its size
  },
  errIsTTY: process.stderr.isTTY ?? false,
  inIsTTY: process.stdin.isTTY ?? false,
  out: (text) => void process.stdout.write(text),
  write: async (bytes) => {
    if (!process.stdout.write(bytes)) await once(process.stdout, 'drain')
  },
  err: (text) => void process.stderr.write(text),
  abort: (sentence) => {
    process.stderr.write(`poststelle: ${sentence}\n`)
    process.exit(1)
  },
  stdin: async () => {
    const pieces: Buffer[] = []
    for await (const piece of process.stdin) pieces.push(piece as Buffer)
    return Buffer.concat(pieces)
  },
  ask: (question) =>
    new Promise((resolve) => {
      const lines = createInterface({ input: process.stdin, output: process.stderr })
      lines.once('close', () => resolve(''))
      lines.question(question, (line) => {
        resolve(line)
        lines.close()
      })
    }),
  stopSignal: () =>
    new Promise((resolve) => {
      let firstAt: number | undefined
      const stop = (signal: NodeJS.Signals): void => {
        firstAt ??= performance.now()
        resolve(signal)
        if (performance.now() - firstAt > SAME_SIGNAL_MS) process.exit(1)
      }
      process.on('SIGINT', stop)
      process.on('SIGTERM', stop)
    }),
}

// a reader that has gone away (`poststelle status | head`) is no fault
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

/** What is open after that, such as a connection to a queue that is away, is not waited for. */
const LINGER_MS = 2_000

process.exitCode = await runProgram(process.argv.slice(2), {
  version: VERSION,
  terminal,
  readConfig,
  createLogger: (config) => createLogger(config.logLevel),
  openInstallation,
  startService,
})

setTimeout(() => process.exit(), LINGER_MS).unref()
