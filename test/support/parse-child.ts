// A process that parses one lane and may be killed in the middle of it: node parse-child.ts <database url> <account id>.

import { randomUUID } from 'node:crypto'
import { silentLogger } from '../../src/base/logger.ts'
import { openDatabase } from '../../src/db/database.ts'
import { claimLane } from '../../src/db/lanes.ts'
import { ParsePool } from '../../src/message/parse-pool.ts'
import { parseLane } from '../../src/retrieval/parse-lane.ts'

const [, , url = '', account = ''] = process.argv
const database = openDatabase(url, { max: 4 })
const worker = await database.db
  .insertInto('workers')
  .values({ host: 'child', pid: process.pid, roles: randomUUID(), version: '0' })
  .returning('id')
  .executeTakeFirstOrThrow()
const lease = await claimLane(database.db, { accountId: Number(account), lane: 'parse' }, worker.id, { force: true })
if (!lease) throw new Error('the lane is under lease')
const parsePool = new ParsePool({ threads: 1 })
await parseLane({ db: database.db, database, log: silentLogger, parsePool }, lease, new AbortController().signal)
await parsePool.close()
await database.close()
