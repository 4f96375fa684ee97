// One parsing thread seen from outside: hands it a message piece by piece, takes what it makes of it, and ends it when it takes too
// long, too much, or is not needed any more.

import { Worker } from 'node:worker_threads'
import type { ParseLimits } from './limits.ts'
import type { ParsedMessage } from './parse.ts'
import type { FromThread, ToThread } from './parse-protocol.ts'

export interface ParseRequest {
  /** The raw bytes. What it throws ends the work and is thrown on. */
  readonly source: AsyncIterable<Buffer>
  /** Takes decoded bytes of attachments, in their order. What it throws ends the work and is thrown on. */
  readonly write: (ordinal: number, bytes: Buffer) => Promise<void>
  /** An operator asked for it: with the raised limits. */
  readonly raised?: boolean
  readonly signal?: AbortSignal
}

/** refused: the message is over a limit, now and next time. broken: it took the thread with it, or all of its time. */
export type ParseOutcome =
  | { readonly state: 'parsed'; readonly message: ParsedMessage }
  | { readonly state: 'refused' | 'broken'; readonly reason: string }

interface Job {
  readonly id: number
  readonly request: ParseRequest
  readonly bytes: AsyncIterator<Buffer>
  readonly settle: (outcome: ParseOutcome) => void
  readonly fail: (error: unknown) => void
}

export class ParseThread {
  readonly #limits: ParseLimits
  readonly #worker: Worker
  readonly #ready = Promise.withResolvers<void>()
  #jobs = 0
  #job: Job | undefined
  #dead = false
  #leftMs = 0
  #runningSince = 0
  #timer: NodeJS.Timeout | undefined

  constructor(limits: ParseLimits) {
    this.#limits = limits
    this.#worker = new Worker(new URL('./parse-worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: limits.heapMb, maxYoungGenerationSizeMb: 32 },
      env: {}, // it needs no settings, and must know no secrets
      stdout: true,
      stderr: true,
    })
    // what a library prints may quote mail
    this.#worker.stdout.resume()
    this.#worker.stderr.resume()
    this.#ready.promise.catch(() => undefined) // whoever hands over a message hears of it
    this.#worker.on('message', (message: FromThread) => this.#hear(message))
    this.#worker.on('error', (error) => this.#died(error))
    this.#worker.on('exit', () => this.#died(new Error('the parsing thread ended')))
    this.#worker.unref()
  }

  /** False: it is gone, or in an unknown state; a new one takes its place. */
  get usable(): boolean {
    return !this.#dead
  }

  /** One message at a time. */
  async parse(request: ParseRequest): Promise<ParseOutcome> {
    this.#worker.ref()
    await this.#ready.promise
    const { signal } = request
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<ParseOutcome>()
    const abort = (): void => reject(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    const id = ++this.#jobs
    this.#job = { id, request, bytes: request.source[Symbol.asyncIterator](), settle: resolve, fail: reject }
    this.#leftMs = this.#limits.deadlineMs
    this.#say({ job: id, say: 'begin', limits: this.#limits })
    this.#resume()
    const { bytes } = this.#job
    try {
      const outcome = await promise
      if (outcome.state === 'broken') await this.close()
      return outcome
    } catch (error) {
      await this.close() // it is in the middle of something
      throw error
    } finally {
      this.#pause()
      this.#job = undefined
      signal?.removeEventListener('abort', abort)
      await bytes.return?.().catch(() => undefined)
      this.#worker.unref()
    }
  }

  async close(): Promise<void> {
    this.#dead = true
    await this.#worker.terminate()
  }

  #say(message: ToThread, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer)
  }

  #hear(message: FromThread): void {
    if (message.say === 'ready') return this.#ready.resolve()
    const job = this.#job
    if (!job || message.job !== job.id) return
    if (message.say === 'parsed') job.settle({ state: 'parsed', message: message.message })
    else if (message.say === 'refused') job.settle({ state: 'refused', reason: message.reason })
    else if (message.say === 'failed')
      job.settle({ state: 'broken', reason: `the parser failed on it (${message.error})` })
    else {
      this.#pause()
      const answered = message.say === 'want' ? this.#give(job) : this.#take(job, message.ordinal, message.bytes)
      answered.then(() => {
        if (this.#job === job) this.#resume()
      }, job.fail)
    }
  }

  async #give(job: Job): Promise<void> {
    const next = await job.bytes.next()
    if (this.#job !== job || this.#dead) return
    if (next.done === true) return this.#say({ job: job.id, say: 'end' })
    const bytes = new Uint8Array(next.value) // a copy of these bytes alone: what the driver handed out is a view of more
    this.#say({ job: job.id, say: 'bytes', bytes }, [bytes.buffer])
  }

  async #take(job: Job, ordinal: number, bytes: Uint8Array): Promise<void> {
    await job.request.write(ordinal, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    if (this.#job === job && !this.#dead) this.#say({ job: job.id, say: 'written' })
  }

  #died(error: unknown): void {
    this.#dead = true
    this.#ready.reject(error)
    const heap = error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
    this.#job?.settle({
      state: 'broken',
      reason: heap
        ? `the parser needed more than ${this.#limits.heapMb} MB of memory for it`
        : 'the parser crashed on it',
    })
  }

  /** The clock of a message runs while its thread works, not while the thread waits for us. */
  #resume(): void {
    this.#runningSince = performance.now()
    this.#timer = setTimeout(() => this.#expire(), this.#leftMs)
  }

  #pause(): void {
    if (!this.#timer) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#leftMs = Math.max(1, this.#leftMs - (performance.now() - this.#runningSince))
  }

  #expire(): void {
    this.#job?.settle({
      state: 'broken',
      reason: `the parser needed more than ${this.#limits.deadlineMs / 1000} s for it`,
    })
  }
}
