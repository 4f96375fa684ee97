// How long what is over is kept, and the legal hold.

import { problem } from '../../contract/basics.ts'
import {
  changeRetention,
  previewRetention,
  retention,
  retentionChange,
  retentionJson,
  retentionPreview,
} from '../../contract/retention.ts'
import { API, type ApiContext, type App } from '../context.ts'
import { needs, whoOf } from '../guard.ts'
import { requireMatch } from '../if-match.ts'

const tags = ['system']

export function addRetentionRoutes(app: App, { db, clock }: ApiContext): void {
  app.get(
    `${API}/retention`,
    {
      ...needs('admin'),
      schema: { tags, summary: 'How long what is over is kept, and how much there is', response: { 200: retention } },
    },
    async (_, reply) => {
      const json = await retentionJson(db)
      return await reply.header('etag', `"${json.etag}"`).send(json)
    },
  )

  app.post(
    `${API}/retention/preview`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'How much would be removed at once if the days were these; nothing is changed',
        body: retentionChange.pick({ days: true }),
        response: { 200: retentionPreview, 400: problem },
      },
    },
    async ({ body }) => await previewRetention(db, body.days, clock.now()),
  )

  app.patch(
    `${API}/retention`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary:
          'Change days, or set and lift the legal hold; what is left out stays as it is. Removal begins within the hour. If-Match takes the ETag.',
        body: retentionChange,
        response: { 200: retention, 400: problem, 412: problem },
      },
    },
    async (request, reply) => {
      await changeRetention(db, whoOf(request).actor, request.body, (etag) => requireMatch(request, etag))
      const json = await retentionJson(db)
      return await reply.header('etag', `"${json.etag}"`).send(json)
    },
  )
}
