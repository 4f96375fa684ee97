// What fields of the account file have in common: texts of one line, secrets, fields looked at together.

import { z } from 'zod'

export const oneLine = (max: number) =>
  z
    .string('is not a text')
    .max(max, `is longer than ${max} characters`)
    .refine((text) => !/[\u0000-\u001f\u007f]/.test(text), 'contains a line break or another control character')
export const secret = z
  .string('is not a text')
  .min(1, 'is empty')
  .max(20_000, 'is too long')
  .refine((text) => !/[\r\n\0]/.test(text), 'contains a line break')

/** Looks at fields together; also where one of them has a problem of its own, so that all problems are said at once. */
export const together = (field: string, problem: string) => ({
  path: [field],
  error: problem,
  when: ({ value }: { value: unknown }) => typeof value === 'object' && value !== null,
})

/** Says why an address may not be contacted, or undefined where it may. */
export type HostCheck = (host: string) => string | undefined

export function report(ctx: z.core.$RefinementCtx, ...problems: (string | undefined)[]): void {
  for (const problem of problems) if (problem !== undefined) ctx.addIssue(problem)
}
