// Network trouble in one clear sentence: what the system's or OpenSSL's code means for the host that was dialled.

import { errorCode, errorText } from '../base/failure.ts'
import type { Deadline } from './deadline.ts'
import { NetError, type NetStep } from './net.ts'

const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])
const NOT_TLS = new Set(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'ERR_SSL_HTTP_REQUEST'])
const OLD_TLS = new Set(['ERR_SSL_UNSUPPORTED_PROTOCOL', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'])
const LOST = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])

const DOING: Record<NetStep, string> = {
  dns: 'the look-up of',
  egress: 'the check of',
  connect: 'the connection to',
  tls: 'the TLS handshake with',
  http: 'the request to',
}

/** What `error` means at `step`; a NetError stays what it is. Where the deadline is over, that is the cause. */
export function trouble(
  step: NetStep,
  host: string,
  port: number | undefined,
  error: unknown,
  limit?: Deadline,
): NetError {
  for (let e = error; e instanceof Error; e = e.cause) if (e instanceof NetError) return e
  const where = port === undefined ? host : `${host.includes(':') ? `[${host}]` : host}:${port}`
  const expired = limit?.expired()
  if (expired === 'ABORT_ERR') return new NetError(step, expired, `${DOING[step]} ${where} was broken off by us`)
  if (limit !== undefined && expired === 'ETIMEDOUT') {
    return new NetError(step, expired, `${DOING[step]} ${where} took longer than ${limit.timeoutMs / 1000} s`)
  }
  const code = errorCode(error)
  return new NetError(step, code || 'UNKNOWN', sentence(step, code, host, where, error), { cause: error })
}

function sentence(step: NetStep, code: string, host: string, where: string, error: unknown): string {
  if (code === 'ENOTFOUND' || code === 'ENODATA') return `the name ${host} does not exist`
  if (code === 'EAI_AGAIN') return `the name ${host} could not be looked up just now`
  if (code === 'ECONNREFUSED') return `${where} refused the connection`
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return `${where} cannot be reached from here`
  if (code === 'ETIMEDOUT') return `${where} did not answer`
  if (LOST.has(code)) return `${where} closed the connection${step === 'tls' ? ' during the TLS handshake' : ''}`
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `the certificate of ${host} is not valid for that name`
  if (code === 'CERT_HAS_EXPIRED') return `the certificate of ${host} has expired`
  if (code === 'CERT_NOT_YET_VALID') return `the certificate of ${host} is not valid yet`
  if (UNTRUSTED.has(code)) return `the certificate of ${host} was not issued by an authority that is trusted here`
  if (NOT_TLS.has(code)) return `${where} does not speak TLS from the first byte`
  if (OLD_TLS.has(code)) return `${where} offers only TLS versions older than 1.2`
  return `${DOING[step]} ${where} failed: ${errorText(error)}`
}
