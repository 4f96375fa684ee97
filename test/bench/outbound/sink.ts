// The sink as the measuring process sees it: one run after the other, each with messages of its own.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { removeFolder, tempFolder } from '../../support/child.ts'
import type { Pki } from '../../support/pki.ts'

/** What the sink's process tells. */
export interface SinkFindings {
  /** By id; in the time of `monotonicMs`. */
  readonly arrivedAt: readonly (readonly [id: number, at: number])[]
  readonly doubled: number
  /** That carried at least one message of the run. */
  readonly connections: number
}

export interface Arrivals {
  readonly at: ReadonlyMap<number, number>
  readonly lastAt: number
  readonly lost: number
  readonly doubled: number
  readonly connections: number
}

export interface SinkRun {
  /** Stands in the subjects: see `benchMessage`. */
  readonly name: string
  /** Resolves when every message is there; rejects with what is there after the time. */
  all(limitMs: number): Promise<void>
  arrivals(): Promise<Arrivals>
}

export interface Sink {
  readonly port: number
  readonly pid: number
  readonly user: string
  readonly password: string
  /** Ends the run before. Messages with ids from 0 to `count` - 1 are expected. */
  expect(count: number): Promise<SinkRun>
  stop(): Promise<void>
}

export const SINK_USER = 'bench@example.test'
const PASSWORD = 'correct-horse'

export async function startSink(pki: Pki): Promise<Sink> {
  const folder = tempFolder('sink')
  const [program, ...args] = sinkProgram(folder)
  const child = spawn(program, [...args, SINK_USER, PASSWORD], {
    env: { SINK_CERT: pki.cert, SINK_KEY: pki.key },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface(child.stdout)
  const died = once(child, 'close').then(() => {
    throw new Error('the sink ended')
  })
  died.catch(() => undefined)
  const answer = async (): Promise<string> => {
    const line = new Promise<string>((resolve) => {
      lines.on('line', function heard(line) {
        if (line === 'all') return
        lines.off('line', heard)
        resolve(line)
      })
    })
    return await Promise.race([line, died])
  }
  const ask = async (question: string): Promise<string> => {
    const answered = answer()
    child.stdin.write(`${question}\n`)
    return await answered
  }
  const port = Number(await answer())
  let runs = 0
  return {
    port,
    pid: child.pid ?? 0,
    user: SINK_USER,
    password: PASSWORD,
    expect: async (count) => {
      runs += 1
      const name = `r${runs}`
      let complete: () => void = () => undefined
      const all = new Promise<void>((resolve) => (complete = resolve))
      await ask(`expect ${name} ${count}`)
      lines.on('line', function heard(line) {
        if (line !== 'all') return
        lines.off('line', heard)
        complete()
      })
      const arrivals = async (): Promise<Arrivals> => {
        const { arrivedAt, doubled, connections } = JSON.parse(await ask('findings')) as SinkFindings
        const lastAt = arrivedAt.reduce((last, [, at]) => Math.max(last, at), 0)
        return { at: new Map(arrivedAt), lastAt, lost: count - arrivedAt.length, doubled, connections }
      }
      return {
        name,
        arrivals,
        all: async (limitMs) => {
          let timer: NodeJS.Timeout | undefined
          const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), limitMs)))
          if ((await Promise.race([all, late, died])) === 'late') {
            const { lost } = await arrivals()
            throw new Error(`${count - lost} of ${count} messages reached the sink within ${limitMs / 1000} s`)
          }
          clearTimeout(timer)
        },
      }
    },
    stop: async () => {
      child.stdin.end()
      await died.catch(() => undefined)
      removeFolder(folder)
    },
  }
}

/** In C where it can be compiled: then the sink takes less of what the senders are to have. */
function sinkProgram(folder: string): [program: string, ...args: string[]] {
  const program = join(folder, 'sink')
  try {
    const source = join(import.meta.dirname, 'sink.c')
    execFileSync('cc', ['-O2', '-o', program, source, '-lssl', '-lcrypto', '-lpthread'], { stdio: 'ignore' })
    return [program]
  } catch {
    console.log('there is no C compiler with the headers of OpenSSL: the sink is one of Node, at three times the CPU')
    return [process.execPath, join(import.meta.dirname, 'sink-child.ts')]
  }
}

/** A message of about `sizeBytes` that tells which it is, with lines that begin with dots. */
export function benchMessage(run: string, id: number, sizeBytes: number): Buffer {
  const head = `From: ${SINK_USER}\r\nTo: kunde@example.test\r\nSubject: bench ${run}-${id}\r\nMessage-ID: <${run}-${id}@bench.example.test>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n.Punkt\r\n`
  const line = `Zeile ${run}-${id} ${'abcdefghij'.repeat(6)}\r\n`
  return Buffer.from(head + line.repeat(Math.max(1, Math.round((sizeBytes - head.length) / line.length))))
}
