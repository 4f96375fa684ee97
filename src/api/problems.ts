// Refusals of the interface as problem details (RFC 9457): a stable code for programs, a title in the reader's language.

import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { errorCode, errorText, Failure, UserError } from '../base/failure.ts'
import type { Logger } from '../base/logger.ts'
import type { Problem } from '../contract/basics.ts'
import { inLanguage } from '../contract/german.ts'
import { explain } from '../failures/catalogue.ts'
import type { Language } from '../health/phrases.ts'
import { languageOf } from './language.ts'

const TITLES = {
  invalid_request: [400, 'Die Anfrage wurde nicht verstanden.', 'The request was not understood.'],
  refused: [422, 'Das geht so nicht.', 'This cannot be done.'],
  login_needed: [401, 'Bitte anmelden.', 'Please log in.'],
  login_refused: [401, 'Name, Kennwort oder Code stimmt nicht.', 'Name, password or code is wrong.'],
  login_blocked: [
    429,
    'Zu viele Fehlversuche. Bitte später noch einmal.',
    'Too many failed logins. Please try again later.',
  ],
  code_needed: [
    401,
    'Bitte den Code aus der Authentifizierungs-App eingeben.',
    'Please enter the code of the authenticator app.',
  ],
  not_allowed: [403, 'Dazu fehlt Ihnen das Recht.', 'You may not do this.'],
  other_site: [403, 'Diese Anfrage kam von einer anderen Seite.', 'This request came from another site.'],
  not_found: [404, 'Das gibt es hier nicht.', 'This is not here.'],
  link_over: [410, 'Dieser Link gilt nicht mehr.', 'This link is not valid any more.'],
  changed_meanwhile: [412, 'Inzwischen hat sich etwas geändert.', 'Something has changed meanwhile.'],
  conflict: [409, 'Das widerspricht dem, was schon da ist.', 'This contradicts what is there.'],
  key_reused: [422, 'Derselbe Idempotency-Key mit anderem Inhalt.', 'The same Idempotency-Key with other content.'],
  too_large: [413, 'Die Anfrage ist zu groß.', 'The request is too large.'],
  count_differs: [409, 'Es sind inzwischen andere Nachrichten.', 'The messages have changed meanwhile.'],
  failed: [502, 'Der Anbieter hat abgelehnt.', 'The provider refused.'],
  not_ready: [503, 'Der Dienst ist nicht bereit.', 'The service is not ready.'],
  internal: [500, 'Das hat nicht geklappt.', 'This did not work.'],
} as const satisfies Record<string, readonly [number, string, string]>
export type ProblemCode = keyof typeof TITLES

/** Thrown by whoever refuses a request. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly code: ProblemCode
  readonly fields: readonly { field: string; message: string }[]
  readonly retryAt: Date | null

  constructor(
    code: ProblemCode,
    detail = '',
    about: { fields?: readonly { field: string; message: string }[]; retryAt?: Date | null } = {},
  ) {
    super(detail)
    this.code = code
    this.fields = about.fields ?? []
    this.retryAt = about.retryAt ?? null
  }
}

export function problemOf(
  code: ProblemCode,
  language: Language,
  about: { detail?: string; requestId?: string; errors?: readonly { field: string; message: string }[] } = {},
): Problem {
  const [status, german, english] = TITLES[code]
  return {
    type: `urn:poststelle:problem:${code}`,
    title: language === 'de' ? german : english,
    status,
    code,
    ...(about.detail && { detail: inLanguage(about.detail, language) }),
    ...(about.requestId && { request_id: about.requestId }),
    ...(about.errors &&
      about.errors.length > 0 && {
        errors: about.errors.map(({ field, message }) => ({ field, message: inLanguage(message, language) })),
      }),
  }
}

/** What is not ours to tell is logged, and the visitor gets a number to name. */
export function sendProblem(log: Logger, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const language = languageOf(request)
  const requestId = request.id
  const send = (problem: Problem): FastifyReply =>
    reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem))
  if (error instanceof Refused) {
    if (error.retryAt)
      void reply.header('retry-after', Math.max(1, Math.ceil((error.retryAt.getTime() - Date.now()) / 1000)))
    return send(problemOf(error.code, language, { detail: error.message, requestId, errors: error.fields }))
  }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const errors = error.validation.map(({ instancePath, message }) => ({
      field: instancePath.replace(/^\//, '').replaceAll('/', '.'),
      message: message ?? '',
    }))
    return send(problemOf('invalid_request', language, { requestId, errors }))
  }
  if (error instanceof UserError) return send(problemOf('refused', language, { detail: error.message, requestId }))
  if (error instanceof Failure) {
    const { label } = explain(error.flag, language)
    return send({
      ...problemOf('failed', language, { detail: `[${error.flag}] ${error.evidence}`, requestId }),
      title: label,
    })
  }
  // what functions of the database refuse by themselves names the field
  if (/^(22|23|P0)/.test(errorCode(error)))
    return send(problemOf('refused', language, { detail: errorText(error), requestId }))
  const status = (error as Partial<FastifyError>).statusCode ?? 500
  if (status === 413) return send(problemOf('too_large', language, { requestId }))
  if (status >= 400 && status < 500) return send(problemOf('invalid_request', language, { requestId }))
  log.error({ err: error, path: request.url.replace(/\?.*$/s, ''), request_id: requestId }, 'a request failed')
  return send(problemOf('internal', language, { requestId }))
}
