// Accounts that a person signs in for, the simulator as their provider, and the browser of that person, over real https.

import { Agent, request as httpsRequest } from 'node:https'
import { finishByBrowser, beginByBrowser, requireSignIn } from '../../src/credentials/sign-in.ts'
import { findAccount } from '../../src/db/accounts.ts'
import { startTokenEndpoint, type SandboxGrant, type TokenEndpoint } from '../../src/sandbox/token-endpoint.ts'
import { openHouse, type TestHouse } from './house.ts'
import type { ManualClock } from './manual-clock.ts'
import { makePki, type Pki } from './pki.ts'

export const REDIRECT = 'http://localhost:8470/oauth/callback'
export const TENANT = '6b29fc40-ca47-1067-b31d-00dd010662da'

export interface SignInWorld {
  readonly house: TestHouse
  readonly tokens: TokenEndpoint
  readonly pki: Pki
  readonly grantOf: (email: string) => SandboxGrant
  /** In the form that `account import` reads. */
  readonly accountOf: (email: string, auth?: object) => object
  /** Begins a sign-in; returns the page at the provider. */
  readonly begin: (email: string) => Promise<URL>
  /** The user gives name and password there; returns where the browser is sent. */
  readonly enter: (page: URL, email: string, password?: string) => Promise<URL>
  readonly finish: (answer: URL) => ReturnType<typeof finishByBrowser>
  readonly close: () => Promise<void>
}

export interface SignInWorldOptions {
  readonly emails: readonly string[]
  readonly tenant?: string
  readonly clientSecret?: string | null
  readonly flow?: 'authorization_code' | 'device_code'
  readonly clock?: ManualClock
}

export async function openSignInWorld(o: SignInWorldOptions): Promise<SignInWorld> {
  const { tenant = TENANT, clientSecret = null, flow = 'authorization_code' } = o
  const pki = await makePki()
  const grantOf = (email: string): SandboxGrant => ({
    email,
    tenant,
    clientId: '11111111-2222-3333-4444-555555555555',
    clientSecret,
    flows: [],
    password: `pw-${email}`,
  })
  const tokens = await startTokenEndpoint({
    tls: pki,
    accounts: o.emails.map(grantOf),
    ...(o.clock && { clock: o.clock }),
  })
  const house = await openHouse({ caPem: pki.ca, ...(o.clock && { clock: o.clock }) })
  const accountOf = (email: string, auth: object = {}): object => ({
    email,
    pop3: { host: 'localhost', port: 995, security: 'tls' },
    auth: {
      type: 'oauth2',
      flow,
      token_endpoint: tokens.tokenUrl(tenant),
      client_id: grantOf(email).clientId,
      client_secret: clientSecret,
      scope: tenant === 'google' ? 'https://mail.google.com/' : 'https://outlook.office365.com/.default offline_access',
      ...auth,
    },
  })
  await house.importAccounts(o.emails.map((email) => accountOf(email)))
  return {
    house,
    tokens,
    pki,
    grantOf,
    accountOf,
    async begin(email) {
      const account = requireSignIn(await findAccount(house.db, email))
      return new URL((await beginByBrowser(house, account, REDIRECT)).url)
    },
    enter: (page, email, password = `pw-${email}`) => post(page, { username: email, password }, pki.ca),
    finish: (answer) => finishByBrowser(house, answer.searchParams),
    async close() {
      await house.close()
      await tokens.close()
      await pki.stop()
    },
  }
}

function post(url: URL, form: Record<string, string>, ca: string): Promise<URL> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(url, { method: 'POST', ca, agent: new Agent({ keepAlive: false }) }, (response) => {
      response.resume()
      const { location } = response.headers
      if (location === undefined) reject(new Error(`the provider answered ${response.statusCode}`))
      else resolve(new URL(location))
    })
    request.on('error', reject)
    request.end(new URLSearchParams(form).toString())
  })
}
