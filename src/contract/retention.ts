// How long what is over is kept: as the interface, the page and the command say it.

import { createHash } from 'node:crypto'
import { z } from 'zod'
import { audit, type Actor } from '../db/audit.ts'
import type { Db } from '../db/database.ts'
import {
  countOld,
  FEWEST_DAYS,
  measureKept,
  MOST_DAYS,
  ofEach,
  readRetention,
  RETAINED,
  saveLegalHold,
  saveRetentionDays,
  type Retained,
  type Retention,
  type RetentionDays,
} from '../db/retention.ts'
import { instant, iso, isoOrNull } from './basics.ts'

const daysOf = (of: Retained) =>
  z
    .int('is not a whole number')
    .min(FEWEST_DAYS[of], `is less than ${FEWEST_DAYS[of]}`)
    .max(MOST_DAYS, `is more than ${MOST_DAYS}`)
    .nullable()

/** Days; null: for ever. */
const retentionDays = z.strictObject(ofEach(daysOf))

const holdReason = z.string().trim().min(1, 'is empty').max(500, 'is longer than 500 characters')

export const retentionChange = z.strictObject({
  /** What is left out stays as it is. */
  days: retentionDays.partial().optional(),
  /** null: there is none any more. */
  hold: z.strictObject({ reason: holdReason }).nullable().optional(),
})
export type RetentionChange = z.infer<typeof retentionChange>

const kept = z.object({
  days: z.int().nullable(),
  fewest_days: z.int(),
  bytes: z.int(),
  oldest_at: instant.nullable(),
  /** Since the installation began. */
  removed: z.int(),
})

export const retention = z.object({
  ...ofEach(() => kept),
  hold: z.object({ reason: z.string(), since: instant, by: z.string() }).nullable(),
  swept_at: instant.nullable(),
  etag: z.string(),
})
export type RetentionJson = z.infer<typeof retention>

/** How much would go; counted up to COUNTED, one more stands for "more". null: nothing ever goes. */
export const retentionPreview = z.object(ofEach(() => z.int().nullable()))
export type RetentionPreviewJson = z.infer<typeof retentionPreview>

export const COUNTED = 100_000

/** Of the settings alone. */
const etagOf = ({ days, hold }: Retention): string =>
  createHash('sha256')
    .update(JSON.stringify([days, hold]))
    .digest('base64url')
    .slice(0, 22)

export async function retentionJson(db: Db): Promise<RetentionJson> {
  const [read, sizes] = await Promise.all([readRetention(db), measureKept(db)])
  const { days, hold, removed, sweptAt } = read
  const of = (name: Retained) => ({
    days: days[name],
    fewest_days: FEWEST_DAYS[name],
    bytes: sizes[name].bytes,
    oldest_at: isoOrNull(sizes[name].oldestAt),
    removed: removed[name],
  })
  return {
    ...ofEach(of),
    hold: hold && { reason: hold.reason, since: iso(hold.since), by: hold.by },
    swept_at: isoOrNull(sweptAt),
    etag: etagOf(read),
  }
}

type PartialDays = NonNullable<RetentionChange['days']>

const withChange = (before: RetentionDays, change: PartialDays = {}): RetentionDays =>
  ofEach((of) => (change[of] === undefined ? before[of] : change[of]))

/** What would go at once if the days were these. */
export async function previewRetention(
  db: Db,
  change: PartialDays | undefined,
  now: Date,
): Promise<RetentionPreviewJson> {
  const { days } = await readRetention(db)
  return await countOld(db, withChange(days, change), now, COUNTED)
}

/** Writes what was changed to the audit log as well. `check` may throw: it is told the tag of what is about to be changed. */
export async function changeRetention(
  db: Db,
  actor: Actor,
  change: RetentionChange,
  check: (etag: string) => void = () => undefined,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const before = await readRetention(tx, { lock: true })
    check(etagOf(before))
    const after = withChange(before.days, change.days)
    const changed = RETAINED.filter((of) => before.days[of] !== after[of])
    if (changed.length > 0) {
      await saveRetentionDays(tx, after)
      const pick = (days: RetentionDays) => Object.fromEntries(changed.map((of) => [of, days[of]]))
      await audit(tx, actor, {
        action: 'retention changed',
        details: { before: pick(before.days), after: pick(after) },
      })
    }
    if (change.hold === undefined || (change.hold === null && !before.hold)) return
    await saveLegalHold(tx, change.hold && { reason: change.hold.reason, by: actor.name })
    await audit(tx, actor, {
      action: change.hold ? 'legal hold set' : 'legal hold lifted',
      reason: change.hold ? change.hold.reason : before.hold?.reason,
    })
  })
}
