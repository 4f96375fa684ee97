// A notice to a program of the machine: the JSON of a web hook on its standard input, and the same in words.

import { spawn } from 'node:child_process'
import { once } from 'node:events'

const MOST_SAID = 500
/** None of ours: no key, and no address of the database. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' }

/**
 * Resolves when the program has ended with 0. Throws what it said on standard error, or how it ended; after `timeoutMs` it is killed.
 */
export async function runCommand(program: string, input: string, timeoutMs: number): Promise<void> {
  const child = spawn(program, [], {
    env: ENVIRONMENT,
    stdio: ['pipe', 'ignore', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(0, MOST_SAID)
  })
  child.stdin.on('error', () => undefined) // it may end without reading
  child.stdin.end(input)
  // rejects where the program cannot be started
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  if (code === 0) return
  const how = signal === null ? `exit code ${code}` : `ended by ${signal} after ${timeoutMs / 1000} s`
  throw new Error([how, said.trim()].filter(Boolean).join(': '))
}
