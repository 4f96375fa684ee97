// One tick: takes the lanes that are due out of Postgres and puts a job for each into its queue. Two processes may tick at
// once: a lane is taken by one of them. If adding fails, the lane is taken again when its dispatch has lapsed.

import type { Db } from '../db/database.ts'
import { makeDue, takeDueLanes, type Lane } from '../db/lanes.ts'
import type { LaneKind } from '../db/schema.ts'
import { LANE_JOBS } from './lane-jobs.ts'
import type { LaneQueue, QueueName } from './queues.ts'

/** So many jobs may wait in a queue. With more, lanes would be dispatched anew, again and again, before their first job is done. */
const AHEAD = 1_000

/** `rung`: lanes that a bell named. Returns how many jobs were added. */
export async function dispatchDue(
  db: Db,
  queues: ReadonlyMap<QueueName, LaneQueue>,
  rung: readonly Lane[],
): Promise<number> {
  for (const lane of new Set<LaneKind>(rung.map((each) => each.lane))) {
    await makeDue(
      db,
      lane,
      rung.flatMap((each) => (each.lane === lane ? [each.accountId] : [])),
    )
  }
  const room = await Promise.all(
    LANE_JOBS.map(async ({ lane, queue }) => {
      const waiting = (await queues.get(queue)?.getWaitingCount()) ?? 0
      return [lane, Math.max(0, AHEAD - waiting)] as const
    }),
  )
  const due = await takeDueLanes(db, new Map(room))
  for (const kind of LANE_JOBS) {
    const jobs = due
      .filter((lane) => lane.lane === kind.lane)
      .map(({ accountId }) => ({ name: kind.queue, data: { accountId } }))
    if (jobs.length > 0) await queues.get(kind.queue)?.addBulk(jobs)
  }
  return due.length
}
