// In which language somebody is answered.

import type { FastifyRequest } from 'fastify'
import { LANGUAGES, type Language } from '../health/phrases.ts'

/** Asked for, else the first that the browser wants and we have, else English. */
export function chooseLanguage(asked: string | undefined, accepted: string | undefined): Language {
  const wanted = [asked ?? '', ...(accepted ?? '').split(',')].map((word) => word.trim().slice(0, 2).toLowerCase())
  return LANGUAGES.find((language) => language === wanted.find((word) => LANGUAGES.some((one) => one === word))) ?? 'en'
}

/** Of a request: asked for, else that of whoever is logged in, else that of the browser. */
export function languageOf(request: FastifyRequest): Language {
  const { lang } = request.query as { lang?: unknown }
  const asked = typeof lang === 'string' && LANGUAGES.some((one) => one === lang) ? lang : undefined
  return chooseLanguage(asked ?? request.who?.language ?? undefined, request.headers['accept-language'])
}
