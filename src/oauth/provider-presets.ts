// Which provider an account is with, and what is known in advance about each: hosts, ports, limits of receiving. The numbers are
// the providers' published ones, kept on the careful side; what a server says while we talk to it goes before them.

import { MINUTE_MS } from '../base/clock.ts'
import type { Provider } from '../base/failure.ts'
import type { Endpoint } from '../net/net.ts'

export interface ProviderPreset {
  readonly pop3: Endpoint | null
  readonly smtp: Endpoint | null
  /** Token endpoint; `{tenant}` stands for the directory's id or domain. */
  readonly tokenEndpoint: string | null
  /** What a user grants (password, refresh_token). */
  readonly delegatedScope: string | null
  /** What an administrator grants to the app itself (client_credentials). */
  readonly appScope: string | null
  readonly minPollIntervalMs: number
  readonly defaultPollIntervalMs: number
  readonly maxPop3Sessions: number
  readonly maxMessageBytes: number
  /** Whether user name and password still open POP3 and SMTP. */
  readonly passwordLogin: boolean
}

const MIB = 1024 * 1024

const PRESETS: Record<Provider, ProviderPreset> = {
  microsoft: {
    pop3: { host: 'outlook.office365.com', port: 995, security: 'tls' },
    smtp: { host: 'smtp.office365.com', port: 587, security: 'starttls' },
    tokenEndpoint: 'https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token',
    delegatedScope:
      'https://outlook.office.com/POP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access',
    appScope: 'https://outlook.office365.com/.default',
    // No limit is published; refusals were seen after about a thousand sessions a day.
    minPollIntervalMs: 2 * MINUTE_MS,
    defaultPollIntervalMs: 3 * MINUTE_MS,
    maxPop3Sessions: 1,
    // The mailbox default; a tenant may raise it to 150 MB.
    maxMessageBytes: 35 * MIB,
    passwordLogin: false,
  },
  google: {
    pop3: { host: 'pop.gmail.com', port: 995, security: 'tls' },
    smtp: { host: 'smtp.gmail.com', port: 465, security: 'tls' },
    tokenEndpoint: 'https://oauth2.googleapis.com/token',
    delegatedScope: 'https://mail.google.com/',
    appScope: null,
    // CAPA says LOGIN-DELAY 300.
    minPollIntervalMs: 5 * MINUTE_MS,
    defaultPollIntervalMs: 5 * MINUTE_MS,
    maxPop3Sessions: 1,
    maxMessageBytes: 25 * MIB,
    // With an app password.
    passwordLogin: true,
  },
  generic: {
    pop3: null,
    smtp: null,
    tokenEndpoint: null,
    delegatedScope: null,
    appScope: null,
    // The operator's own servers, and others of which nothing is known: as often as he asks.
    minPollIntervalMs: 0,
    defaultPollIntervalMs: 3 * MINUTE_MS,
    maxPop3Sessions: 1,
    maxMessageBytes: 25 * MIB,
    passwordLogin: true,
  },
}

export const presetFor = (provider: Provider): ProviderPreset => PRESETS[provider]

/** How often a POP3 host may be polled at most, whoever issues its tokens. */
export const pollFloorMs = (popHost: string | undefined): number =>
  presetFor(providerOf(null, popHost)).minPollIntervalMs

/** Of what is announced; a server may not keep us away for longer. */
const MAX_LOGIN_DELAY_SECONDS = 86_400

/** Seconds between logins that the server asks for (RFC 2449 section 6.5); 0 where it asks for none, or for nonsense. */
export function loginDelayOf(capabilities: ReadonlyMap<string, readonly string[]>): number {
  const [delay = ''] = capabilities.get('LOGIN-DELAY') ?? []
  return /^\d+$/.test(delay) ? Math.min(Number(delay), MAX_LOGIN_DELAY_SECONDS) : 0
}

/** Gmail lists some 250 to 300 messages at a time and hides those that were retrieved: a UIDL that is not listed has not gone. */
export const showsSlices = (capabilities: ReadonlyMap<string, unknown>): boolean => capabilities.has('X-GOOGLE-RICO')

/** Scopes of one cloud are unknown in another: which mail hosts belong to which sign-in host (learn.microsoft.com, national clouds). */
const CLOUDS: readonly { readonly name: string; readonly login: RegExp; readonly mail: RegExp }[] = [
  {
    name: 'global',
    login: /^login\.(microsoftonline\.com|windows\.net)$|^sts\.windows\.net$/,
    mail: /^outlook\.office(365)?\.com$/,
  },
  { name: 'US Government', login: /^login\.microsoftonline\.us$/, mail: /^outlook(-dod)?\.office365\.us$/ },
  { name: 'China (21Vianet)', login: /^login\.partner\.microsoftonline\.cn$/, mail: /^partner\.outlook\.cn$/ },
]

/** What looks like two clouds at once, one sentence each. */
export function cloudNotes(tokenEndpoint: string, scope: string): string[] {
  const cloud = CLOUDS.find(({ login }) => login.test(hostOf(tokenEndpoint)))
  if (!cloud) return []
  const hosts = [...scope.matchAll(/https:\/\/([^\s/]+)/g)].map(([, host = '']) => host.toLowerCase())
  const foreign = hosts.find((host) => CLOUDS.some((other) => other !== cloud && other.mail.test(host)))
  return foreign === undefined
    ? []
    : [`auth.scope: ${foreign} belongs to another cloud than the token endpoint (${cloud.name})`]
}

/** Global, US Government, China; `sts.windows.net` is the old name of the first. */
const MICROSOFT_LOGIN =
  /^(login\.(microsoftonline\.(com|us)|windows\.net|partner\.microsoftonline\.cn)|sts\.windows\.net)$/
const GOOGLE_LOGIN = /^(oauth2|www)\.googleapis\.com$|^accounts\.google\.com$/
const MICROSOFT_MAIL =
  /(^|\.)(outlook|hotmail|office365)\.(com|us)$|^(outlook-dod\.office365\.us|partner\.outlook\.cn)$/
const GOOGLE_MAIL = /(^|\.)(gmail|googlemail)\.com$/

/**
 * By the token endpoint's host, or its path: a gateway on another host that offers Entra's own path is spoken to like Entra.
 * Where both say nothing, or there is no token endpoint, the POP3 host decides.
 */
export function providerOf(tokenEndpoint: string | null, popHost?: string): Provider {
  const host = hostOf(tokenEndpoint)
  if (MICROSOFT_LOGIN.test(host) || entraTenantOf(tokenEndpoint) !== undefined) return 'microsoft'
  if (GOOGLE_LOGIN.test(host)) return 'google'
  const mailHost = popHost?.trim().toLowerCase().replace(/\.$/, '') ?? ''
  if (MICROSOFT_MAIL.test(mailHost)) return 'microsoft'
  return GOOGLE_MAIL.test(mailHost) ? 'google' : 'generic'
}

/** The tenant in `/{tenant}/oauth2/v2.0/token` or its elder sibling without the version; undefined for every other path. */
export function entraTenantOf(tokenEndpoint: string | null): string | undefined {
  if (tokenEndpoint === null || !URL.canParse(tokenEndpoint)) return undefined
  const { hostname, pathname } = new URL(tokenEndpoint)
  const [, tenant, version] = /^\/([^/]+)\/oauth2\/(v2\.0\/)?token\/?$/.exec(pathname) ?? []
  // On another host only the full path speaks for Entra: `/adfs/oauth2/token` is a different product.
  return version !== undefined || MICROSOFT_LOGIN.test(hostname) ? tenant : undefined
}

function hostOf(url: string | null): string {
  return url !== null && URL.canParse(url) ? new URL(url).hostname.toLowerCase() : ''
}
