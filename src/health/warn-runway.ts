// Announces what ends soon: each threshold of each subject once, in the log. Done by whichever process comes first.

import type { Logger } from '../base/logger.ts'
import type { Db } from '../db/database.ts'
import { markWarned, readRunway } from '../db/runway.ts'
import { runwayLine, runwayOf } from './runway.ts'

/** Returns how many were announced. */
export async function warnRunway(db: Db, log: Logger, now: Date): Promise<number> {
  let announced = 0
  for (const item of runwayOf(await readRunway(db), now)) {
    if (!item.endsAt || item.threshold === null) continue
    if (!(await markWarned(db, item.key, item.endsAt, item.threshold, now))) continue
    announced += 1
    log.warn(
      {
        kind: item.kind,
        subject: item.subject,
        days_left: item.daysLeft,
        accounts: item.accounts,
        ends_at: item.endsAt,
      },
      `${runwayLine(item, 'en')}. ${item.remedy.en}`,
    )
  }
  return announced
}
