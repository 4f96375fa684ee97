// Pages of a sign-in: the link that the owner of a mailbox opens without an account here, and the way back from the provider. They
// are for everybody, so they say nothing but what the visitor needs, load nothing, and lead nowhere but to the provider.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { redirectUri, type Config } from '../base/config.ts'
import type { Clock } from '../base/clock.ts'
import { Failure, UserError } from '../base/failure.ts'
import type { Logger } from '../base/logger.ts'
import { beginByBrowser, finishByBrowser, invitedTo } from '../credentials/sign-in.ts'
import type { Db } from '../db/database.ts'
import { explain } from '../failures/catalogue.ts'
import type { Language } from '../health/phrases.ts'
import type { Net } from '../net/net.ts'
import type { Vault } from '../secrets/vault.ts'
import type { App } from './context.ts'
import { needs } from './guard.ts'
import { chooseLanguage } from './language.ts'

export interface SignInContext {
  readonly config: Config
  readonly db: Db
  readonly vault: Vault
  readonly net: Net
  readonly clock: Clock
  readonly log: Logger
}

const POLICY =
  "default-src 'none'; style-src 'self'; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'"

const CSS = `:root{color-scheme:light dark;--ink:#1b2430;--paper:#fff;--accent:#17686b}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--paper:#15191f;--accent:#5cc2c0}}
body{margin:0;background:var(--paper);color:var(--ink);font:17px/1.55 system-ui,sans-serif}
main{max-width:38rem;margin:12vh auto;padding:0 1.25rem;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25}
button{font:inherit;font-weight:600;padding:.7em 1.2em;border:0;border-radius:.5em;background:var(--accent);color:var(--paper);cursor:pointer}
button:focus-visible{outline:3px solid var(--ink);outline-offset:2px}`

const PUBLIC = { ...needs('public'), schema: { hide: true } }

export function addSignIn(app: App, ctx: SignInContext): void {
  app.get('/plain.css', PUBLIC, async (_request, reply) => await reply.type('text/css; charset=utf-8').send(CSS))

  // a browser sends the form of the link as this; nothing in it is read
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, _body, done) =>
    done(null, null),
  )

  app.get<{ Params: { secret: string } }>('/sign-in/:secret', PUBLIC, async (request, reply) => {
    const language = languageOf(request)
    const invited = await invitedTo(ctx, request.params.secret)
    if (!invited) return await page(reply.code(410), language, gone(language))
    const { email } = invited.account
    const text: Page =
      language === 'de'
        ? {
            title: 'Postfach freigeben',
            lines: [
              `Mit dieser Anmeldung darf Poststelle das Postfach ${email} abrufen und in seinem Namen senden.`,
              'Das Kennwort geben Sie nur beim Anbieter ein; Poststelle erfährt es nicht.',
            ],
            button: `Als ${email} anmelden`,
          }
        : {
            title: 'Release a mailbox',
            lines: [
              `By this sign-in Poststelle may fetch the mail of ${email} and send in its name.`,
              'You give your password to the provider alone; Poststelle does not learn it.',
            ],
            button: `Sign in as ${email}`,
          }
    return await page(reply, language, text)
  })

  app.post<{ Params: { secret: string } }>('/sign-in/:secret', PUBLIC, async (request, reply) => {
    const language = languageOf(request)
    const invited = await invitedTo(ctx, request.params.secret)
    if (!invited) return await page(reply.code(410), language, gone(language))
    const { url } = await beginByBrowser(ctx, invited.account, redirectUri(ctx.config), invited.link.id)
    return await reply.redirect(url, 303)
  })

  app.get('/oauth/callback', PUBLIC, async (request, reply) => {
    const language = languageOf(request)
    const answer = new URL(request.url, 'http://localhost').searchParams
    try {
      const { account } = await finishByBrowser(ctx, answer)
      const text: Page =
        language === 'de'
          ? {
              title: 'Angemeldet',
              lines: [
                `${account.email} ist angemeldet. Abruf und Versand laufen an.`,
                'Dieses Fenster kann geschlossen werden.',
              ],
            }
          : {
              title: 'Signed in',
              lines: [`${account.email} is signed in. Mail begins to flow.`, 'You may close this window.'],
            }
      return await page(reply, language, text)
    } catch (error) {
      if (error instanceof UserError) throw error
      if (!(error instanceof Failure)) throw error
      ctx.log.warn({ flag: error.flag, evidence: error.evidence }, 'a sign-in failed')
      const { label, meaning, steps } = explain(error.flag, language)
      return await page(reply.code(400), language, {
        title: label,
        lines: [meaning, ...steps, `[${error.flag}] ${error.evidence}`],
      })
    }
  })
}

interface Page {
  readonly title: string
  readonly lines: readonly string[]
  readonly button?: string
}

const gone = (language: Language): Page =>
  language === 'de'
    ? {
        title: 'Dieser Link gilt nicht mehr',
        lines: ['Er wurde schon benutzt oder ist abgelaufen. Bitten Sie um einen neuen.'],
      }
    : { title: 'This link is not valid any more', lines: ['It was used already, or has expired. Ask for a new one.'] }

const languageOf = (request: FastifyRequest): Language => chooseLanguage(undefined, request.headers['accept-language'])

const escaped = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.codePointAt(0)};`)

async function page(reply: FastifyReply, language: Language, { title, lines, button }: Page): Promise<unknown> {
  const form = button === undefined ? '' : `<form method="post"><button>${escaped(button)}</button></form>`
  const html = `<!doctype html><html lang="${language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)} · Poststelle</title><link rel="stylesheet" href="../plain.css"></head><body><main><h1>${escaped(title)}</h1>${lines.map((line) => `<p>${escaped(line)}</p>`).join('')}${form}</main></body></html>`
  return await reply.type('text/html; charset=utf-8').header('content-security-policy', POLICY).send(html)
}
