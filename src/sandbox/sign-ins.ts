// The simulator's sign-in page (RFC 6749 section 4.1 with PKCE, RFC 7636) and its device codes (RFC 8628). The page is real enough
// for a browser: a form for name and password, and the way back to whoever asked.

import { createHash } from 'node:crypto'
import { later, MINUTE_MS, type Clock } from '../base/clock.ts'
import { opaque } from './token-families.ts'
import type { Kind } from './token-refusals.ts'

export interface SignedInAs {
  readonly email: string
  readonly nonce: string | undefined
  readonly scope: string
}

interface Code {
  readonly kind: Kind
  readonly clientId: string
  readonly redirectUri: string
  readonly challenge: string
  readonly as: SignedInAs
  readonly until: Date
}

interface DeviceCode {
  readonly clientId: string
  readonly userCode: string
  readonly scope: string
  readonly until: Date
  email?: string
  declined?: boolean
}

const CODE_LIVES_MS = 10 * MINUTE_MS
const DEVICE_LIVES_SECONDS = 900

export type DevicePolled =
  | SignedInAs
  | 'authorization_pending'
  | 'authorization_declined'
  | 'expired_token'
  | 'bad_verification_code'

export class SignIns {
  readonly #codes = new Map<string, Code>()
  readonly #devices = new Map<string, DeviceCode>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The user has given name and password: where the browser goes from here. */
  approve(kind: Kind, query: URLSearchParams, email: string, issuer: string): string {
    const code = opaque()
    this.#codes.set(code, {
      kind,
      clientId: query.get('client_id') ?? '',
      redirectUri: query.get('redirect_uri') ?? '',
      challenge: query.get('code_challenge') ?? '',
      as: { email, nonce: query.get('nonce') ?? undefined, scope: query.get('scope') ?? '' },
      until: later(this.#clock.now(), CODE_LIVES_MS),
    })
    return back(query, { code, state: query.get('state') ?? '', iss: issuer })
  }

  /** The user, or a rule, has said no. */
  decline(query: URLSearchParams, error: string, description: string): string {
    return back(query, { error, error_description: description, state: query.get('state') ?? '' })
  }

  /** A code is good once, for the client that asked, with the verifier of its challenge. */
  redeem(form: URLSearchParams): SignedInAs | undefined {
    const key = form.get('code') ?? ''
    const code = this.#codes.get(key)
    this.#codes.delete(key)
    if (!code || code.until < this.#clock.now()) return undefined
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url')
    const proven = code.challenge === challenge && code.redirectUri === form.get('redirect_uri')
    return proven && code.clientId === form.get('client_id') ? code.as : undefined
  }

  beginDevice(form: URLSearchParams, url: string): object {
    const deviceCode = opaque()
    const userCode = opaque()
      .replace(/[^A-Z]/g, '')
      .padEnd(8, 'X')
      .slice(0, 8)
    this.#devices.set(deviceCode, {
      clientId: form.get('client_id') ?? '',
      scope: form.get('scope') ?? '',
      userCode,
      until: later(this.#clock.now(), DEVICE_LIVES_SECONDS * 1000),
    })
    return {
      device_code: deviceCode,
      user_code: userCode,
      verification_uri: `${url}/device`,
      expires_in: DEVICE_LIVES_SECONDS,
      interval: 1,
      message: `Open ${url}/device and enter the code ${userCode}.`,
    }
  }

  /** What the user does elsewhere with the code. */
  settleDevice(userCode: string, outcome: { email: string } | 'declined'): void {
    for (const device of this.#devices.values()) {
      if (device.userCode !== userCode) continue
      if (outcome === 'declined') device.declined = true
      else device.email = outcome.email
    }
  }

  pollDevice(form: URLSearchParams): DevicePolled {
    const device = this.#devices.get(form.get('device_code') ?? '')
    if (!device || device.clientId !== form.get('client_id')) return 'bad_verification_code'
    if (device.until < this.#clock.now()) return 'expired_token'
    if (device.declined) return 'authorization_declined'
    if (device.email === undefined) return 'authorization_pending'
    this.#devices.delete(form.get('device_code') ?? '')
    return { email: device.email, nonce: undefined, scope: device.scope }
  }
}

function back(query: URLSearchParams, answer: Record<string, string>): string {
  const url = new URL(query.get('redirect_uri') ?? '')
  for (const [name, value] of Object.entries(answer)) url.searchParams.set(name, value)
  return url.href
}

export const signInPage = (
  hint: string,
): string => `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox sign-in</title>
<h1>Sandbox sign-in</h1><form method="post"><label>User <input name="username" value="${hint.replace(/[^\w.@+-]/g, '')}"></label>
<label>Password <input name="password" type="password"></label><button>Sign in</button></form></html>`
