// Lets one process at a time look at, repair and start the cluster of a data folder. The lock is an abstract Unix
// socket: the kernel takes it back however its holder dies, so it can never be stale. Only Linux has them.

import { once } from 'node:events'
import { statSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { errorCode, UserError } from '../base/failure.ts'

/** Throws when another process has held the lock for `timeoutMs`. */
export async function withStartLock<T>(dataFolder: string, timeoutMs: number, work: () => Promise<T>): Promise<T> {
  if (process.platform !== 'linux') return work()
  const { dev, ino } = statSync(dataFolder)
  const holder = createServer()
  const deadline = Date.now() + timeoutMs
  while (!(await tryListen(holder, `\0poststelle-start-${dev}-${ino}`))) {
    if (Date.now() > deadline)
      throw new UserError(`Another process has been starting Postgres in ${dataFolder} for too long.`)
    await delay(20)
  }
  try {
    return await work()
  } finally {
    holder.close()
  }
}

async function tryListen(server: ReturnType<typeof createServer>, path: string): Promise<boolean> {
  server.listen(path)
  try {
    await once(server, 'listening')
    return true
  } catch (error) {
    if (errorCode(error) === 'EADDRINUSE') return false
    throw error
  }
}
