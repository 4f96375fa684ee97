// POST /api/v1/classify: the cause of any pasted refusal, as `poststelle classify` tells it. It asks nobody and stores nothing.

import { z } from 'zod'
import { PROVIDERS, STAGES } from '../base/failure.ts'
import { problem } from '../contract/basics.ts'
import { explained } from '../failures/explained.ts'
import { LANGUAGES } from '../health/phrases.ts'
import type { App } from './context.ts'
import { API } from './context.ts'
import { needs } from './guard.ts'
import { chooseLanguage } from './language.ts'

const MAX_REPLY_CHARS = 50_000

const body = z.strictObject({
  reply: z.string().min(1).max(MAX_REPLY_CHARS),
  provider: z.enum(PROVIDERS).optional(),
  stage: z.enum(STAGES).optional(),
  step: z.string().max(50).optional(),
  http_status: z.int().min(100).max(599).optional(),
  lang: z.enum(LANGUAGES).optional(),
})
const answer = z.object({
  flag: z.string(),
  scope: z.string(),
  persistence: z.string(),
  blocks: z.array(z.string()),
  retry_after_seconds: z.number().optional(),
  label: z.string(),
  meaning: z.string(),
  actor: z.string(),
  steps: z.array(z.string()),
  link: z.string().nullable(),
  provider: z.string(),
  stage: z.string(),
})

export function addClassify(app: App): void {
  app.post(
    `${API}/classify`,
    {
      ...needs('reader'),
      schema: {
        tags: ['overview'],
        summary: 'The cause of a pasted refusal',
        body,
        response: { 200: answer, 400: problem },
      },
    },
    async (request) => {
      const { lang, http_status: httpStatus, ...pasted } = request.body
      const language = chooseLanguage(lang ?? request.who?.language ?? undefined, request.headers['accept-language'])
      const found = explained({ ...pasted, httpStatus }, language)
      return { ...found, blocks: [...found.blocks], steps: [...found.steps] }
    },
  )
}
