// One access token for one grant. The token request is a point of no return: once it is sent, no abort is honoured, because a
// server that rotates has forgotten the old refresh token by the time we would have heard of the new one.

import { later, DAY_MS, MINUTE_MS, SECOND_MS, type Clock } from '../base/clock.ts'
import { errorCode, errorText, type Failure, type Refusal } from '../base/failure.ts'
import { refuse } from '../failures/classify.ts'
import { NetError, type FetchedReply, type Net } from '../net/net.ts'
import { acquireGeneric, readTokenReply, refreshLifetimeSeconds } from './generic.ts'
import { acquireFromMicrosoft } from './microsoft.ts'
import { providerOf } from './provider-presets.ts'
import type { TokenGrant, TokenRequest } from './token.ts'

/** Entra answers in a second; an authentication agent on the customer's premises may need most of a minute. */
const REQUEST_TIMEOUT_MS = MINUTE_MS

/** What happened to the last request that was sent. */
interface Exchange {
  readonly sentAt: Date
  readonly grantType: string
  reply?: FetchedReply
  fault?: unknown
}

/**
 * Asks the token endpoint, once; twice only where a cached refresh token turns out dead and a password is at hand. MSAL speaks
 * to Microsoft's endpoints, oauth4webapi to all others. `expiresAt` counts from the moment of sending.
 *
 * Throws Failure (stage `token`) with what the endpoint said, secrets masked; its step is the grant type asked for, or the
 * NetError's step where no answer came. Throws the signal's reason if it was aborted before the request was sent.
 */
export async function acquireToken(
  net: Net,
  request: TokenRequest,
  o: { readonly clock: Clock; readonly signal?: AbortSignal },
): Promise<TokenGrant> {
  o.signal?.throwIfAborted()
  const exchange = recordExchanges(net, request, o.clock)
  try {
    checkUrl(request.tokenEndpoint)
    const isMicrosoft = providerOf(request.tokenEndpoint) === 'microsoft'
    const issued = isMicrosoft
      ? await acquireFromMicrosoft(exchange.net, request)
      : await acquireGeneric(exchange.net, request, o.clock.now())
    return { ...issued, ...exchange.ends() }
  } catch (error) {
    throw exchange.failure(error)
  }
}

export interface Exchanges {
  /** Through which the libraries have to speak. */
  readonly net: Pick<Net, 'fetch'>
  /** Of the tokens that the last request brought, from the moment of sending. */
  ends(): Pick<TokenGrant, 'expiresAt' | 'refreshExpiresAt'>
  /** What an error of a library, or of the network, means. */
  failure(error: unknown): Failure
}

/** Remembers what was sent and answered last, because the libraries hide it. */
export function recordExchanges(net: Pick<Net, 'fetch'>, request: TokenRequest, clock: Clock): Exchanges {
  let last: Exchange | undefined
  return {
    net: {
      async fetch(url, options) {
        const grantType = new URLSearchParams(options.body).get('grant_type') ?? request.flow
        const exchange: Exchange = { sentAt: clock.now(), grantType }
        last = exchange
        try {
          exchange.reply = await net.fetch(url, { ...options, timeoutMs: REQUEST_TIMEOUT_MS })
          return exchange.reply
        } catch (error) {
          exchange.fault = error
          throw error
        }
      },
    },
    ends: () => {
      if (!last?.reply) throw new Error('a token came without a request')
      const answer = readTokenReply(last.reply)
      const refreshSeconds = refreshLifetimeSeconds(answer)
      return {
        expiresAt: later(last.sentAt, answer.expires_in * SECOND_MS),
        refreshExpiresAt: refreshSeconds === undefined ? undefined : later(last.sentAt, refreshSeconds * SECOND_MS),
      }
    },
    failure: (error) => asFailure(request, last, error, clock),
  }
}

/** Both libraries would refuse it too, each in its own words. The text is not repeated: it may hold a secret. */
function checkUrl(tokenEndpoint: string): void {
  const protocol = URL.parse(tokenEndpoint)?.protocol
  if (protocol === undefined) throw new NetError('http', 'INVALID_URL', 'the token endpoint is not a URL')
  if (protocol !== 'https:') throw new NetError('http', 'HTTPS_REQUIRED', 'the token endpoint must begin with https')
}

/**
 * The libraries' errors are dropped, never wrapped: they carry parsed answers and requests, hence secrets. A fault of the network
 * carries none and stays as the cause.
 */
function asFailure(request: TokenRequest, exchange: Exchange | undefined, error: unknown, clock: Clock): Failure {
  const { provider, flow } = request
  const about = { provider, stage: 'token' } as const
  const mask = (text: string): string => withoutSecrets(text, request)
  if (exchange?.fault !== undefined) {
    const { fault } = exchange
    const step = fault instanceof NetError ? fault.step : 'http'
    return refuse({ ...about, step, reply: mask(errorText(fault)), errorCode: errorCode(fault) }, fault)
  }
  if (exchange?.reply === undefined || isUsable(exchange.reply)) {
    // Refused on our side: before anything was sent, or for what the library found in a sound answer.
    return refuse({
      ...about,
      step: exchange?.grantType ?? flow,
      reply: mask(errorText(error)),
      errorCode: errorCode(error),
    })
  }
  const { reply, grantType } = exchange
  const refusal: Refusal = { ...about, step: grantType, reply: mask(wordsOf(reply)), httpStatus: reply.status }
  const waitMs = retryAfterMs(reply, clock.now())
  return refuse(waitMs === undefined ? refusal : { ...refusal, retryAfterMs: waitMs })
}

function isUsable(reply: FetchedReply): boolean {
  try {
    return readTokenReply(reply) !== undefined
  } catch {
    return false
  }
}

/** The body as received; where there is none, the status and where a redirect would have led. */
function wordsOf({ status, headers, body }: FetchedReply): string {
  if (body.trim() !== '') return body
  const to = headers['location']?.replace(/[?#].*$/s, '')
  return `HTTP ${status} without a body${to === undefined ? '' : `, redirect to ${to}`}`
}

/** Retry-After (RFC 9110 section 10.2.3), seconds or a date, as milliseconds from `now`. More than a day is not believed. */
export function retryAfterMs({ headers }: Pick<FetchedReply, 'headers'>, now: Date): number | undefined {
  const value = headers['retry-after']?.trim() ?? ''
  // Date.parse reads far more than HTTP dates: '-5' would be a day of 2001.
  const date = /^[a-z]{3}/i.test(value) ? Date.parse(value) - now.getTime() : NaN
  const waitMs = /^\d+$/.test(value) ? Number(value) * SECOND_MS : date
  return Number.isNaN(waitMs) ? undefined : Math.min(DAY_MS, Math.max(0, waitMs))
}

/**
 * Servers echo what they were sent, gateways whole requests. What has a secret's name or shape is masked for every refusal; here
 * goes what only the request knows to be one, in every spelling a form or a JSON text gives it.
 */
function withoutSecrets(text: string, { proof, credential }: TokenRequest): string {
  const fromCache = [...(credential.msalCache ?? '').matchAll(/"secret"\s*:\s*"([^"]+)"/g)].map(([, secret]) => secret)
  const ofClient = proof.kind === 'secret' ? proof.secret : undefined
  const secrets = [ofClient, credential.password, credential.refreshToken, ...fromCache].filter((s) => s !== undefined)
  const spellings = secrets.flatMap((secret) => [
    secret,
    encodeURIComponent(secret),
    new URLSearchParams({ s: secret }).toString().slice(2),
    JSON.stringify(secret).slice(1, -1),
  ])
  const longestFirst = [...new Set(spellings)].filter((s) => s.length > 2).sort((a, b) => b.length - a.length)
  let masked = text
  for (const spelling of longestFirst) masked = masked.replaceAll(spelling, '***')
  return masked
}
