// What protocol code may do with the network. One object is made at start (dial.ts) and handed to whoever dials:
// it resolves a name once, refuses addresses outside the egress rules, pins the address, and verifies TLS.

import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { ResolvedAddress } from './names.ts'

/** How a mail host is spoken to. 'tls': from the first byte. 'starttls': upgraded by command. 'none': loopback only. */
export const SECURITIES = ['tls', 'starttls', 'none'] as const
export type Security = (typeof SECURITIES)[number]

export interface Endpoint {
  readonly host: string
  readonly port: number
  readonly security: Security
}

/** How a session proves who it is. */
export type Login =
  | { readonly mechanism: 'xoauth2'; readonly username: string; readonly accessToken: string }
  | { readonly mechanism: 'password'; readonly username: string; readonly password: string }

export interface FetchOptions {
  readonly method: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

export interface FetchedReply {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Net {
  /** Addresses of a name that may be dialled. Throws NetError. */
  resolve(host: string, options: { signal: AbortSignal; timeoutMs?: number }): Promise<readonly ResolvedAddress[]>
  /** Connects (and, for 'tls', completes the verified handshake). Throws NetError. */
  dial(to: Endpoint, options: { signal: AbortSignal; timeoutMs?: number }): Promise<Socket | TLSSocket>
  /** Upgrades a socket that nothing is buffered on. Throws NetError. */
  startTls(socket: Socket, host: string, options: { signal: AbortSignal; timeoutMs?: number }): Promise<TLSSocket>
  /** https only, no redirects, body capped at 1 MiB, address checked and pinned. Throws NetError. */
  fetch(url: string, options: FetchOptions): Promise<FetchedReply>
}

export type NetStep = 'dns' | 'egress' | 'connect' | 'tls' | 'http'

/** The network, not the peer's words, stood in the way. `code` is the system's or OpenSSL's code. */
export class NetError extends Error {
  override readonly name = 'NetError'
  readonly step: NetStep
  readonly code: string

  constructor(step: NetStep, code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.step = step
    this.code = code
  }
}
