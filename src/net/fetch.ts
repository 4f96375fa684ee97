// https for token endpoints and webhooks: no redirects, bounded time and size. Every request has a connection of its own,
// because a POST on a kept connection that the server closes meanwhile has an unknown outcome.

import type { TLSSocket } from 'node:tls'
import { Client, fetch, type Response } from 'undici'
import { SECOND_MS } from '../base/clock.ts'
import { deadline, type Deadline } from './deadline.ts'
import { NetError, type FetchedReply, type FetchOptions } from './net.ts'
import { trouble } from './trouble.ts'

const MAX_BODY_BYTES = 1024 * 1024
const TIMEOUT_MS = 30 * SECOND_MS
const HTTPS_PORT = 443

/** `dial` connects to a checked address and completes the TLS handshake. */
export async function fetchOnce(
  dial: (host: string, port: number, limit: Deadline) => Promise<TLSSocket>,
  address: string,
  options: FetchOptions,
): Promise<FetchedReply> {
  const url = parse(address)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? HTTPS_PORT : Number(url.port)
  const limit = deadline(options.timeoutMs ?? TIMEOUT_MS, options.signal)
  try {
    const socket = await dial(host, port, limit)
    const client = new Client(url.origin, {
      pipelining: 0,
      // undici waits for ever for a connector that calls back at once
      connect: (_options, done) =>
        void setImmediate(() =>
          socket.destroyed ? done(new Error('the connection is closed'), null) : done(null, socket),
        ),
    })
    try {
      const reply = await fetch(url, {
        method: options.method,
        dispatcher: client,
        redirect: 'manual',
        signal: limit.signal,
        ...(options.headers === undefined ? {} : { headers: { ...options.headers } }),
        ...(options.body === undefined ? {} : { body: options.body }),
      })
      return { status: reply.status, headers: Object.fromEntries(reply.headers), body: await readBody(reply, host) }
    } finally {
      await client.destroy()
      socket.destroy()
    }
  } catch (error) {
    throw trouble('http', host, port, error, limit)
  } finally {
    limit.end()
  }
}

/** The text itself is not repeated in errors: it may hold a secret. */
function parse(address: string): URL {
  // URL.parse would silently drop line breaks and tabs
  const url = /\s|\p{Cc}/u.test(address) ? null : URL.parse(address)
  if (url === null) throw new NetError('http', 'INVALID_URL', 'the address is not a URL')
  if (url.protocol !== 'https:') {
    throw new NetError('http', 'HTTPS_REQUIRED', `${url.hostname || 'the address'} must be addressed with https`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new NetError('http', 'USERINFO_REFUSED', `the URL of ${url.hostname} contains a user name or a password`)
  }
  return url
}

/** Counts what comes out of decompression, so that a small answer cannot unpack into a large one. */
async function readBody(reply: Response, host: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of reply.body ?? []) {
    size += chunk.byteLength
    if (size > MAX_BODY_BYTES) {
      throw new NetError('http', 'RESPONSE_TOO_LARGE', `the answer of ${host} is longer than ${MAX_BODY_BYTES} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
