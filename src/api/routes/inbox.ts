// Received mail: the list by any filter, one message. What stands in a message is for those who may read mail, and every look is written
// down.

import { Readable } from 'node:stream'
import { z } from 'zod'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { filterText, idParams, pageQuery, problem, toPage } from '../../contract/basics.ts'
import { inboxFilterOf } from '../../contract/filter.ts'
import { inLanguage } from '../../contract/german.ts'
import { resolverOf } from '../../contract/resolver.ts'
import { inboxDetailJson, inboxEntryJson, inboxMessage, inboxPage } from '../../contract/inbox.ts'
import { audit } from '../../db/audit.ts'
import { acknowledge, listInbox, loadMessage, type MessageDetail } from '../../db/inbox.ts'
import { attachmentBytes, rawMessage } from '../../db/message-bytes.ts'
import { reparse } from '../../db/parsing.ts'
import { safeHtml } from '../../message/safe-html.ts'
import { API, type ApiContext, type App } from '../context.ts'
import { mayDo, needs, whoOf } from '../guard.ts'
import { languageOf } from '../language.ts'
import { Refused } from '../problems.ts'

const tags = ['inbox']
/** Of pictures that are put into a page. */
const INLINE_BYTES = 5 * 1024 * 1024

export function addInboxRoutes(app: App, ctx: ApiContext): void {
  const { db } = ctx

  app.get(
    `${API}/inbox`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'Received mail, newest first',
        querystring: z.object({ ...pageQuery, filter: filterText }),
        response: { 200: inboxPage, 422: problem },
      },
    },
    async ({ query }) => {
      const filter = await inboxFilterOf(query.filter, resolverOf(db, ctx.clock.now()))
      const found = await listInbox(db, filter, {
        limit: query.limit + 1,
        afterId: query.cursor === undefined ? undefined : Number(query.cursor),
      })
      return toPage(found, query.limit, inboxEntryJson)
    },
  )

  const found = async (id: number): Promise<MessageDetail> => {
    const message = await loadMessage(db, id)
    if (!message) throw new Refused('not_found')
    return message
  }
  const noteRead = async (request: FastifyRequest, id: number, what: string): Promise<void> => {
    await audit(db, whoOf(request).actor, { action: `${what} read`, object: `inbox ${id}` })
  }

  app.get(
    `${API}/inbox/:id`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'One message; its text for those who may read mail',
        params: idParams,
        response: { 200: inboxMessage, 404: problem },
      },
    },
    async (request) => {
      const message = await found(request.params.id)
      const mayRead = mayDo(whoOf(request), { role: 'reader', mail: true })
      if (mayRead) await noteRead(request, message.id, 'message')
      const { body_html: html, body_text: text, ...facts } = inboxDetailJson(message)
      return {
        ...facts,
        parse_reason: facts.parse_reason && inLanguage(facts.parse_reason, languageOf(request)),
        account_id: message.accountId,
        may_read: mayRead,
        has_text: text !== null,
        has_html: html !== null,
        body_text: mayRead ? text : null,
      }
    },
  )

  app.get(
    `${API}/inbox/:id/html`,
    {
      ...needs('reader', { mail: true }),
      schema: { tags, summary: 'Its HTML, made harmless, for a frame', params: idParams },
    },
    async (request, reply) => {
      const message = await found(request.params.id)
      if (message.bodyHtml === null) throw new Refused('not_found')
      const inline = await inlinePictures(ctx, message)
      return await reply
        .type('text/html; charset=utf-8')
        .header('content-security-policy', FRAME_POLICY)
        .send(safeHtml(message.bodyHtml, inline))
    },
  )

  app.get(
    `${API}/inbox/:id/raw`,
    {
      ...needs('reader', { mail: true }),
      schema: { tags, summary: 'Its bytes, exactly as the server sent them', params: idParams },
    },
    async (request, reply) => {
      const message = await found(request.params.id)
      await noteRead(request, message.id, 'raw message')
      return await download(reply, `message-${message.id}.eml`, rawMessage(db, message.id))
    },
  )

  app.get(
    `${API}/inbox/:id/attachments/:ordinal`,
    {
      ...needs('reader', { mail: true }),
      schema: {
        tags,
        summary: 'One of its attachments',
        params: idParams.extend({ ordinal: z.coerce.number().int().min(0).max(100_000) }),
      },
    },
    async (request, reply) => {
      const { id, ordinal } = request.params
      const attachment = (await found(id)).attachments.find((one) => one.ordinal === ordinal)
      if (!attachment) throw new Refused('not_found')
      await noteRead(request, id, `attachment ${ordinal}`)
      return await download(reply, attachment.name, attachmentBytes(db, id, ordinal))
    },
  )

  const ids = z.strictObject({ ids: z.array(z.int().min(1)).min(1).max(5_000) })
  app.post(
    `${API}/inbox/acknowledge`,
    {
      ...needs('operator'),
      schema: {
        tags,
        summary: 'Say that messages were dealt with',
        body: ids,
        response: { 200: z.object({ acknowledged: z.int(), before: z.int() }), 404: problem },
      },
    },
    async (request) => {
      const result = await acknowledge(db, request.body.ids)
      if ('missing' in result) throw new Refused('not_found', `not there: ${result.missing.slice(0, 10).join(', ')}`)
      const fresh = result.acknowledged.filter((one) => one.fresh).length
      await audit(db, whoOf(request).actor, {
        action: 'acknowledged',
        object: objectOf(request.body.ids),
        details: { count: fresh },
      })
      return { acknowledged: fresh, before: result.acknowledged.length - fresh }
    },
  )

  app.post(
    `${API}/inbox/reparse`,
    {
      ...needs('operator'),
      schema: {
        tags,
        summary: 'Take messages apart once more, where asked for with the raised limits',
        body: ids.extend({ raised_limits: z.boolean().default(false) }),
        response: { 200: z.object({ waiting: z.int() }) },
      },
    },
    async (request) => {
      const { ids: which, raised_limits: raisedLimits } = request.body
      const waiting = await reparse(db, which, { raisedLimits })
      await audit(db, whoOf(request).actor, {
        action: 'parsed again',
        object: objectOf(which),
        details: { raised_limits: raisedLimits },
      })
      return { waiting }
    },
  )
}

const objectOf = (ids: readonly number[]): string =>
  ids.length === 1 ? `inbox ${ids[0]}` : `inbox, ${ids.length} messages`

/** No script, no form, no address from outside, no way out of the frame. */
const FRAME_POLICY =
  "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"

const PICTURE = /^image\/(?:png|jpeg|gif|webp|bmp)$/i

async function inlinePictures({ db }: ApiContext, message: MessageDetail): Promise<Map<string, string>> {
  const pictures = new Map<string, string>()
  let left = INLINE_BYTES
  for (const { ordinal, contentId, contentType, sizeBytes } of message.attachments) {
    if (contentId === null || !PICTURE.test(contentType) || sizeBytes > left) continue
    left -= sizeBytes
    const pieces: Buffer[] = []
    for await (const piece of attachmentBytes(db, message.id, ordinal)) pieces.push(piece)
    const data = Buffer.concat(pieces).toString('base64')
    pictures.set(contentId.replace(/^<|>$/g, '').toLowerCase(), `data:${contentType.toLowerCase()};base64,${data}`)
  }
  return pictures
}

/** Saved, never shown: whatever it claims to be. */
async function download(reply: FastifyReply, name: string, bytes: AsyncIterable<Buffer>): Promise<FastifyReply> {
  const plain =
    name
      .normalize('NFC')
      .replace(/[^\w.\- ]+/g, '_')
      .slice(0, 100) || 'file'
  return await reply
    .type('application/octet-stream')
    .header('content-security-policy', "sandbox; default-src 'none'")
    .header('content-disposition', `attachment; filename="${plain}"; filename*=UTF-8''${encodeRFC8187(name)}`)
    .send(Readable.from(bytes))
}

const encodeRFC8187 = (name: string): string =>
  encodeURIComponent(
    name
      .toWellFormed()
      .replace(/[\p{Cc}/\\]/gu, '_')
      .slice(0, 200),
  ).replace(/['()*]/g, (sign) => `%${sign.codePointAt(0)?.toString(16).toUpperCase()}`)
