// A sender made of libraries, as they are commonly put together: nodemailer's pool, with or without a BullMQ queue before it.

import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { Queue, Worker } from 'bullmq'
import { createTransport } from 'nodemailer'
import type { PeerRun, PeerTask } from './peer.ts'
import { benchMessage } from './sink.ts'

const task = JSON.parse(process.argv[2] ?? '') as PeerTask
const ADD_AT_ONCE = 500

const pool = createTransport({
  pool: true,
  host: 'localhost',
  port: task.port,
  secure: false,
  requireTLS: true,
  tls: { ca: readFileSync(task.caFile) },
  auth: { user: task.user, pass: task.password },
  maxConnections: task.connections,
  maxMessages: Infinity,
})

const send = async (raw: Buffer): Promise<void> => {
  await pool.sendMail({ envelope: { from: task.user, to: ['kunde@example.test'] }, raw })
}

const messages = ({ run, count }: PeerRun): Buffer[] =>
  Array.from({ length: count }, (_, id) => benchMessage(run, id, task.sizeBytes))

const go = async (): Promise<void> => {
  process.send?.('ready')
  await once(process, 'message')
}

async function nodemailer(asked: PeerRun): Promise<void> {
  const waiting = messages(asked)
  await go()
  await Promise.all(waiting.map(send))
}

async function bullmq(asked: PeerRun): Promise<void> {
  const connection = { url: task.redisUrl ?? '', maxRetriesPerRequest: null }
  const options = { connection, prefix: asked.run }
  const queue = new Queue<{ raw: string }>('mail', { ...options, defaultJobOptions: { removeOnComplete: true } })
  const waiting = messages(asked).map((raw) => ({ name: 'send', data: { raw: raw.toString() } }))
  for (let i = 0; i < waiting.length; i += ADD_AT_ONCE) await queue.addBulk(waiting.slice(i, i + ADD_AT_ONCE))
  const worker = new Worker<{ raw: string }>('mail', async ({ data }) => await send(Buffer.from(data.raw)), {
    ...options,
    autorun: false,
    concurrency: task.connections,
  })
  await worker.waitUntilReady()
  const drained = new Promise<void>((resolve) => worker.once('drained', resolve))
  await go()
  worker.run().catch(console.error)
  await drained
  await worker.close()
  await queue.close()
}

process.on('message', (asked: PeerRun | 'go') => {
  if (asked === 'go') return
  void (task.kind === 'nodemailer' ? nodemailer(asked) : bullmq(asked)).then(
    () => process.send?.('done'),
    (error: unknown) => process.send?.(String(error)),
  )
})
process.once('disconnect', () => process.exit())
process.send?.('started')
