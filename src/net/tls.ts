// The verified handshake. One security context for all connections, and sessions resumed per host and port, which halves
// the cost of an idle poll. TLS 1.2 or newer (RFC 8446, 5246); names are checked by RFC 6125.

import { once } from 'node:events'
import { isIP, type Socket } from 'node:net'
import { connect, createSecureContext, getCACertificates, type TLSSocket } from 'node:tls'
import { HOUR_MS } from '../base/clock.ts'
import type { Deadline } from './deadline.ts'
import { trouble } from './trouble.ts'

/** A resumed session shows no certificate: now and then the whole handshake is made, so that a revoked trust is noticed. */
const RESUME_FOR_MS = HOUR_MS
const MAX_SESSIONS = 1_000

interface Resumable {
  readonly session: Buffer
  /** When the certificate was last seen (performance.now). */
  readonly verifiedAt: number
}

export interface TlsClient {
  /** Handshakes over a connected socket. Throws NetError; the socket is closed then. */
  secure(raw: Socket, host: string, port: number, limit: Deadline): Promise<TLSSocket>
}

export function createTlsClient(extraCaPem?: string): TlsClient {
  const secureContext = createSecureContext({
    minVersion: 'TLSv1.2',
    ...(extraCaPem === undefined ? {} : { ca: [...getCACertificates('default'), extraCaPem] }),
  })
  const sessions = new Map<string, Resumable>()

  return {
    async secure(raw, host, port, limit) {
      const key = `${host}:${port}`
      const known = sessions.get(key)
      const resumable = known !== undefined && performance.now() - known.verifiedAt < RESUME_FOR_MS ? known : undefined
      const socket = connect({
        socket: raw,
        host,
        // An address is no server name (RFC 6066 section 3); it is still checked against the certificate, through `host`.
        servername: isIP(host) === 0 ? host : '',
        secureContext,
        ...(resumable === undefined ? {} : { session: resumable.session }),
      })
      const begunAt = performance.now()
      // Node holds a ticket back until the certificate was verified; on a resumed session nothing is verified again.
      socket.on('session', (session: Buffer) => {
        const verifiedAt = resumable !== undefined && socket.isSessionReused() ? resumable.verifiedAt : begunAt
        sessions.delete(key)
        sessions.set(key, { session, verifiedAt })
        const [oldest] = sessions.keys()
        if (sessions.size > MAX_SESSIONS && oldest !== undefined) sessions.delete(oldest)
      })
      socket.on('error', () => {}) // between the handshake and the first read nobody else listens
      try {
        await once(socket, 'secureConnect', { signal: limit.signal })
      } catch (error) {
        sessions.delete(key)
        socket.destroy()
        raw.destroy()
        throw trouble('tls', host, port, error, limit)
      }
      return socket
    },
  }
}
