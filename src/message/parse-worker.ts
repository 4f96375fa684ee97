// Entry of a parsing thread. Whatever a message does to it, the process outside goes on.

import { parentPort } from 'node:worker_threads'
import { ParseRefused, type ParseLimits } from './limits.ts'
import { parseMessage } from './parse.ts'
import { PIECE_BYTES, type FromThread, type ToThread } from './parse-protocol.ts'

const port = parentPort
if (!port) throw new Error('this file is the entry of a worker thread')

const send = (message: FromThread, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer)

/** The one thing the current message waits for from outside. */
let awaited: { job: number; resolve: (answer: ToThread) => void } | undefined

port.on('message', (message: ToThread) => {
  if (message.say === 'begin') void work(message.job, message.limits)
  else if (awaited?.job === message.job) {
    const { resolve } = awaited
    awaited = undefined
    resolve(message)
  }
})
send({ say: 'ready' })

async function work(job: number, limits: ParseLimits): Promise<void> {
  const ask = async (message: FromThread, transfer: ArrayBuffer[] = []): Promise<ToThread> => {
    const answer = new Promise<ToThread>((resolve) => {
      awaited = { job, resolve }
    })
    send(message, transfer)
    return await answer
  }
  // wanting bytes and delivering some may overlap: one question at a time
  let asking: Promise<unknown> = Promise.resolve()
  const inTurn = async (message: () => [FromThread, ArrayBuffer[]?]): Promise<ToThread> => {
    const answer = asking.then(() => ask(...message()))
    asking = answer
    return await answer
  }
  const pieces = new Pieces(async (ordinal, bytes) => {
    await inTurn(() => [{ job, say: 'attachment', ordinal, bytes }, [bytes.buffer]])
  })
  async function* source(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const answer = await inTurn(() => [{ job, say: 'want' }])
      if (answer.say !== 'bytes') return
      yield answer.bytes
    }
  }
  try {
    const message = await parseMessage(source(), (ordinal, bytes) => pieces.add(ordinal, bytes), limits)
    await pieces.flush()
    send({ job, say: 'parsed', message })
  } catch (error) {
    if (error instanceof ParseRefused) send({ job, say: 'refused', reason: error.message })
    else send({ job, say: 'failed', error: error instanceof Error ? error.name : typeof error })
  }
}

/** Gathers the small chunks of a decoder into pieces worth sending. Attachments come one after the other. */
class Pieces {
  readonly #deliver: (ordinal: number, bytes: Uint8Array<ArrayBuffer>) => Promise<void>
  #ordinal = 0
  #chunks: Buffer[] = []
  #length = 0

  constructor(deliver: (ordinal: number, bytes: Uint8Array<ArrayBuffer>) => Promise<void>) {
    this.#deliver = deliver
  }

  async add(ordinal: number, bytes: Buffer): Promise<void> {
    if (ordinal !== this.#ordinal) await this.flush()
    this.#ordinal = ordinal
    this.#chunks.push(bytes)
    this.#length += bytes.length
    if (this.#length >= PIECE_BYTES) await this.flush()
  }

  async flush(): Promise<void> {
    if (this.#length === 0) return
    const piece = new Uint8Array(this.#length) // of its own, so that it can be handed over without a copy
    let at = 0
    for (const chunk of this.#chunks) {
      piece.set(chunk, at)
      at += chunk.length
    }
    this.#chunks = []
    this.#length = 0
    await this.#deliver(this.#ordinal, piece)
  }
}
