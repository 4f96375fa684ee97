// Leases need a living owner: for the time of its work a command, or a request, is a worker like any other.

import type { Logger } from '../base/logger.ts'
import { WorkerSession } from './worker-session.ts'

export async function asWorker<T>(
  o: { readonly databaseUrl: string; readonly version: string; readonly log: Logger },
  work: (workerId: number) => Promise<T>,
): Promise<T> {
  const session = await WorkerSession.open(o.databaseUrl, {
    roles: 'command',
    version: o.version,
    onRing: () => undefined,
    onProblem: (error) => o.log.warn(error.message),
  })
  try {
    return await work(session.workerId)
  } finally {
    await session.close()
  }
}
