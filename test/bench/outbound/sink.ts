// The sink as the measuring process sees it: one run after the other, each with messages of its own.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Pki } from '../../support/pki.ts'

export type SinkAsks = 'findings' | { readonly run: string; readonly count: number }

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
  const child = fork(join(import.meta.dirname, 'sink-child.ts'), [SINK_USER, PASSWORD], {
    env: { ...process.env, SINK_CERT: pki.cert, SINK_KEY: pki.key },
  })
  const [port] = (await once(child, 'message')) as [number]
  const died = once(child, 'exit').then(() => {
    throw new Error('the sink ended')
  })
  died.catch(() => undefined)
  const ask = async (question: SinkAsks): Promise<unknown> => {
    const answer = new Promise((resolve) => {
      child.on('message', function heard(message) {
        if (message === 'all') return
        child.off('message', heard)
        resolve(message)
      })
    })
    child.send(question)
    return await Promise.race([answer, died])
  }
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
      await ask({ run: name, count })
      child.on('message', function heard(message) {
        if (message !== 'all') return
        child.off('message', heard)
        complete()
      })
      const arrivals = async (): Promise<Arrivals> => {
        const { arrivedAt, doubled, connections } = (await ask('findings')) as SinkFindings
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
      if (child.connected) child.disconnect()
      await died.catch(() => undefined)
    },
  }
}

/** A message of about `sizeBytes` that tells which it is, with lines that begin with dots. */
export function benchMessage(run: string, id: number, sizeBytes: number): Buffer {
  const head = `From: ${SINK_USER}\r\nTo: kunde@example.test\r\nSubject: bench ${run}-${id}\r\nMessage-ID: <${run}-${id}@bench.example.test>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n.Punkt\r\n`
  const line = `Zeile ${run}-${id} ${'abcdefghij'.repeat(6)}\r\n`
  return Buffer.from(head + line.repeat(Math.max(1, Math.round((sizeBytes - head.length) / line.length))))
}
