// The dispatcher of a worker process and nothing else, in a process of its own, so that its CPU time can be told apart.

import { silentLogger } from '../../src/base/logger.ts'
import { openDatabase } from '../../src/db/database.ts'
import { WorkerSession } from '../../src/db/worker-session.ts'
import { openQueues, QUEUE_NAMES } from '../../src/jobs/queues.ts'
import { Dispatcher } from '../../src/workers/dispatcher.ts'

const [databaseUrl = '', redisUrl] = process.argv.slice(2)
const fail = (error: Error): void => console.error(error.message)
const database = openDatabase(databaseUrl, { max: 4 })
const queues = await openQueues({ databaseUrl, redisUrl }, fail)
const opened = new Map(QUEUE_NAMES.map((name) => [name, queues.queue(name)]))
const dispatcher = new Dispatcher({
  db: database.db,
  queues: opened,
  log: silentLogger,
  workerId: () => session.workerId,
})
const session = await WorkerSession.open(databaseUrl, {
  roles: 'bench',
  version: '0',
  onRing: (payload) => dispatcher.ring(payload),
  onProblem: fail,
})
dispatcher.start()
process.once('message', () => void stop())
process.send?.('started')

async function stop(): Promise<void> {
  await dispatcher.stop()
  await Promise.all([...opened.values()].map((queue) => queue.close()))
  await queues.close()
  await session.close()
  await database.close()
  process.disconnect()
}
