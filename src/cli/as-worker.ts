// Leases need a living owner: for the time of a command this process is a worker like any other.

import { WorkerSession } from '../db/worker-session.ts'
import type { Installation } from './installation.ts'

export async function asWorker<T>(installation: Installation, work: (workerId: number) => Promise<T>): Promise<T> {
  const session = await WorkerSession.open(installation.databaseUrl, {
    roles: 'command',
    version: installation.version,
    onRing: () => undefined,
    onProblem: (error) => installation.log.warn(error.message),
  })
  try {
    return await work(session.workerId)
  } finally {
    await session.close()
  }
}
