// What all parts of the HTTP interface share: instants, pages, problems (RFC 9457).

import { z } from 'zod'

/** UTC, as 2026-11-26T08:15:00.000Z. */
export const instant = z.iso.datetime()

export const iso = (at: Date): string => at.toISOString()
export const isoOrNull = (at: Date | null): string | null => at && at.toISOString()

/** Newest first; `next` goes on behind the last one, null: there is no more. */
export const pageOf = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item), next: z.string().nullable() })

export const LIMIT = 50
export const MAX_LIMIT = 500
export const pageQuery = {
  cursor: z
    .string()
    .regex(/^\d{1,15}$/, 'is not a cursor of an earlier answer')
    .optional(),
  limit: z.coerce.number().int().min(1).max(MAX_LIMIT).default(LIMIT),
}
export const filterText = z.string().max(1_000, 'is longer than 1000 characters').default('')
export const language = z.enum(['de', 'en']).optional()
export const idParams = z.object({ id: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) })

/** The page of `found`, which was asked for one more than `limit`. */
export function toPage<R extends { readonly id: number }, J>(
  found: readonly R[],
  limit: number,
  toJson: (row: R) => J,
): { items: J[]; next: string | null } {
  const shown = found.slice(0, limit)
  const last = shown.at(-1)
  return { items: shown.map(toJson), next: found.length > limit && last ? String(last.id) : null }
}

export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string().optional(),
  request_id: z.string().optional(),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
})
export type Problem = z.infer<typeof problem>
