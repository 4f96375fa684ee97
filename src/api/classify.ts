// POST /api/v1/classify: the cause of any pasted refusal, as `poststelle classify` tells it. It asks nobody and stores nothing.

import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { PROVIDERS, STAGES } from '../base/failure.ts'
import { explained } from '../failures/explained.ts'
import { LANGUAGES } from '../health/phrases.ts'
import type { Access } from './access.ts'
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

export function addClassify(app: FastifyInstance, access: Access): void {
  app.post('/api/v1/classify', { onRequest: access.page }, async (request, reply) => {
    const parsed = body.safeParse(request.body)
    if (!parsed.success)
      return await reply
        .code(400)
        .type('application/problem+json')
        .send({
          type: 'about:blank',
          title: 'The request was not understood.',
          status: 400,
          code: 'invalid_request',
          errors: parsed.error.issues.map(({ path, message }) => ({ field: path.join('.'), message })),
        })
    const { lang, http_status: httpStatus, ...pasted } = parsed.data
    const language = chooseLanguage(lang, request.headers['accept-language'])
    return explained({ ...pasted, httpStatus }, language)
  })
}
