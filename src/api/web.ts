// The pages: one HTML document for all of them, and its scripts, styles and pictures, built by Vite and compressed beforehand.

import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import fastifyStatic from '@fastify/static'
import { LANGUAGES } from '../health/phrases.ts'
import type { ApiContext, App } from './context.ts'
import { needs } from './guard.ts'
import { chooseLanguage } from './language.ts'

const DIST = path.join(import.meta.dirname, '../../web/dist')

const policy = (nonce: string): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    // the style sheets that the components make carry this nonce
    `style-src-elem 'self' 'nonce-${nonce}'`,
    "style-src-attr 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "frame-src 'self'",
    "form-action 'self'",
    "base-uri 'self'",
    "frame-ancestors 'none'",
    "manifest-src 'self'",
  ].join('; ')

export async function addWeb(app: App, ctx: ApiContext): Promise<void> {
  const index = path.join(DIST, 'index.html')
  if (!existsSync(index)) {
    ctx.log.warn('the pages are not built; "npm run web" builds them')
    return
  }
  const html = readFileSync(index, 'utf8')
  const base = `${new URL(ctx.publicUrl).pathname.replace(/\/$/, '')}/`
  await app.register(fastifyStatic, {
    root: path.join(DIST, 'assets'),
    prefix: '/assets/',
    preCompressed: true,
    immutable: true,
    maxAge: '365d',
    decorateReply: false,
  })
  app.get('/favicon.svg', needs('public'), async (_request, reply) =>
    reply.type('image/svg+xml').send(readFileSync(path.join(DIST, 'favicon.svg'))),
  )
  const page = {
    ...needs('public'),
    schema: { hide: true },
  }
  app.get('/', page, async (request, reply) => {
    const nonce = randomBytes(16).toString('base64url')
    const language = chooseLanguage(undefined, request.headers['accept-language'])
    return await reply
      .type('text/html; charset=utf-8')
      .header('content-security-policy', policy(nonce))
      .send(
        html
          .replaceAll('/__base__/', base)
          .replaceAll('__nonce__', nonce)
          .replace('lang="en"', `lang="${LANGUAGES.includes(language) ? language : 'en'}"`),
      )
  })
  // a page of the application, whatever its path: the document is the same
  for (const url of PAGES)
    app.get(url, page, async (_request, reply) => {
      const answer = await app.inject({ method: 'GET', url: '/', headers: _request.headers })
      return await reply.headers(answer.headers).send(answer.body)
    })
}

/** Paths that the application shows; everything else is not here. */
const PAGES = [
  '/login',
  '/setup',
  '/invitation',
  '/accounts',
  '/accounts/*',
  '/inbox',
  '/inbox/*',
  '/outbox',
  '/outbox/*',
  '/attention',
  '/incidents',
  '/incidents/*',
  '/queues-overview',
  '/settings',
  '/settings/*',
  '/reference',
]
