// Every connection this service opens is opened here: a name is resolved once, its addresses pass the egress rules, and only
// those addresses are connected to, so that a second look-up cannot lead elsewhere (DNS rebinding).

import { lookup as dnsLookup } from 'node:dns/promises'
import { once } from 'node:events'
import { connect, isIP, type LookupFunction, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { domainToASCII } from 'node:url'
import { SECOND_MS } from '../base/clock.ts'
import { deadline, unlessAborted, type Deadline } from './deadline.ts'
import { createEgress, isLoopback } from './egress.ts'
import { fetchOnce } from './fetch.ts'
import { rememberNames, type Lookup, type Names, type ResolvedAddress } from './names.ts'
import { NetError, type FetchedReply, type Net } from './net.ts'
import { createTlsClient } from './tls.ts'
import { trouble } from './trouble.ts'

export interface NetOptions {
  /** Addresses and networks (CIDR) that may be dialled although they are not public. */
  readonly allowPrivate: readonly string[]
  /** PEM; trusted besides the system's authorities. */
  readonly extraCaPem?: string
  /** How names are resolved; the system's resolver without it. */
  readonly lookup?: Lookup
}

/** Look-up, connect and handshake together. */
const TIMEOUT_MS = 20 * SECOND_MS
const KEEP_ALIVE_MS = 60 * SECOND_MS
/** How long one address of several is tried before the next is. */
const NEXT_ADDRESS_MS = SECOND_MS

const systemLookup: Lookup = (host) => dnsLookup(host, { all: true })

export function createNet(options: NetOptions): Net & { close(): Promise<void> } {
  const egress = createEgress(options.allowPrivate)
  const tls = createTlsClient(options.extraCaPem)
  const names = rememberNames(options.lookup ?? systemLookup)
  const fetching = new Set<Promise<FetchedReply>>()
  let closed = false

  async function resolve(host: string, name: string, limit: Deadline): Promise<readonly ResolvedAddress[]> {
    const found = await addressesOf(host, name, names, limit)
    const usable = found.filter(({ address }) => egress.refuses(address) === undefined)
    const [first] = found
    if (usable.length > 0 || first === undefined) return usable
    const kind = egress.refuses(first.address) ?? ''
    const says = first.address === host ? 'is' : `resolves to ${first.address},`
    const what = `${/^[aeiou]/i.test(kind) ? 'an' : 'a'} ${kind} address that POSTSTELLE_EGRESS_ALLOW does not name`
    throw new NetError('egress', 'EGRESS_REFUSED', `${host} ${says} ${what}`)
  }

  async function connected(
    host: string,
    name: string,
    port: number,
    addresses: readonly ResolvedAddress[],
    limit: Deadline,
  ): Promise<Socket> {
    try {
      const socket = await connectTo(host, name, port, addresses, limit)
      names.worked(name, socket.remoteAddress ?? '')
      return socket
    } catch (error) {
      names.failed(name)
      throw error
    }
  }

  async function secured(host: string, port: number, limit: Deadline): Promise<TLSSocket> {
    const name = serverName(host)
    const socket = await connected(host, name, port, await resolve(host, name, limit), limit)
    return await tls.secure(socket, name, port, limit)
  }

  return {
    async resolve(host, { signal, timeoutMs = TIMEOUT_MS }) {
      const limit = deadline(timeoutMs, signal)
      try {
        return await resolve(host, serverName(host), limit)
      } finally {
        limit.end()
      }
    },

    async dial({ host, port, security }, { signal, timeoutMs = TIMEOUT_MS }) {
      const limit = deadline(timeoutMs, signal)
      try {
        if (security === 'tls') return await secured(host, port, limit)
        const name = serverName(host)
        const addresses = await resolve(host, name, limit)
        if (security === 'none' && !addresses.every(({ address }) => isLoopback(address))) {
          const message = `${host} is not on this machine: plaintext would show password and mail on the way`
          throw new NetError('egress', 'PLAINTEXT_REFUSED', message)
        }
        return await connected(host, name, port, addresses, limit)
      } finally {
        limit.end()
      }
    },

    async startTls(socket, host, { signal, timeoutMs = TIMEOUT_MS }) {
      if (socket.readableLength > 0) {
        socket.destroy()
        const message = `${host} sent something between its consent and the TLS handshake`
        throw new NetError('tls', 'STARTTLS_INJECTION', message)
      }
      const port = socket.remotePort
      if (port === undefined || socket.destroyed)
        throw new NetError('tls', 'ECONNRESET', `${host} closed the connection`)
      const limit = deadline(timeoutMs, signal)
      try {
        return await tls.secure(socket, serverName(host), port, limit)
      } finally {
        limit.end()
      }
    },

    async fetch(url, fetchOptions) {
      if (closed) throw new NetError('http', 'CLOSED', 'the service is stopping: no request is begun any more')
      const running = fetchOnce(secured, url, fetchOptions)
      fetching.add(running)
      try {
        return await running
      } finally {
        fetching.delete(running)
      }
    },

    async close() {
      closed = true
      // a token request that is out is waited for: its answer may hold the only copy of a rotated token
      await Promise.allSettled(fetching)
    },
  }
}

/** As it is resolved and certified: ASCII, no final dot; '' for a text that cannot be a host. */
const serverName = (host: string): string => (isIP(host) === 0 ? domainToASCII(host).replace(/\.$/, '') : host)

async function addressesOf(
  host: string,
  name: string,
  names: Names,
  limit: Deadline,
): Promise<readonly ResolvedAddress[]> {
  const family = isIP(name)
  if (family !== 0) return [{ address: name, family }]
  try {
    const found = name === '' ? [] : await unlessAborted(names.resolve(name), limit.signal)
    if (found.length > 0) return found
  } catch (error) {
    throw trouble('dns', host, undefined, error, limit)
  }
  throw new NetError('dns', 'ENOTFOUND', `the name ${host} does not exist`)
}

async function connectTo(
  host: string,
  name: string,
  port: number,
  addresses: readonly ResolvedAddress[],
  limit: Deadline,
): Promise<Socket> {
  let socket: Socket | undefined
  try {
    limit.signal.throwIfAborted()
    socket = connect({
      host: name,
      port,
      lookup: pinned(addresses),
      autoSelectFamily: addresses.length > 1,
      autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    })
    socket.on('error', () => {}) // stays: an error before somebody else listens must not end the process
    await once(socket, 'connect', { signal: limit.signal })
    return socket
  } catch (error) {
    socket?.destroy()
    throw trouble('connect', host, port, error, limit)
  }
}

/** In place of the resolver: answers with the addresses that were checked. */
function pinned(addresses: readonly ResolvedAddress[]): LookupFunction {
  return (_host, { all }, callback) => {
    const [first] = addresses
    if (all) callback(null, [...addresses])
    else callback(null, first?.address ?? '', first?.family)
  }
}
