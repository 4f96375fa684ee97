// The mailboxes of Muster GmbH: a small company whose accounts show what goes well and what usually goes wrong, each with
// what an operator would import and with what the simulated provider knows about it.

import type { Provider } from '../base/failure.ts'
import type { Security } from '../net/net.ts'
import type { Condition } from './conditions.ts'
import type { SandboxFlow, SandboxGrant } from './token-endpoint.ts'

/** One account as the import reads it. */
export interface AccountImport {
  readonly email: string
  readonly label: string
  readonly default: boolean
  readonly pop3: EndpointImport
  readonly smtp: EndpointImport
  readonly auth:
    | { readonly type: 'password'; readonly password: string }
    | {
        readonly type: 'oauth2'
        readonly flow: SandboxFlow
        readonly token_endpoint: string
        readonly client_id: string
        readonly client_secret: string | null
        readonly client_label?: string
        readonly client_secret_expires_at?: string
        readonly scope: string
        readonly password?: string
        readonly refresh_token?: string
      }
  readonly poll_interval_seconds: number
  readonly delete_after_days: number | null
}

export interface EndpointImport {
  readonly host: string
  readonly port: number
  readonly security: Security
  readonly username: string
}

export interface Resident {
  readonly name: string
  readonly label: string
  readonly provider: Provider
  /** Which pair of mail servers it lives on: its provider's, or one of its own. */
  readonly server: Provider | 'workshop'
  readonly flow: SandboxFlow | 'basic'
  readonly clientId: string
  readonly clientSecret: string | null
  readonly pop3Security: Security
  readonly smtpSecurity: Security
  readonly deleteAfterDays: number | null
  readonly condition: Condition
}

export const COMPANY_DOMAIN = 'muster.example'
const TENANT = 'muster.example'

const microsoft = {
  provider: 'microsoft',
  server: 'microsoft',
  flow: 'password',
  clientId: '6f1d5c1e-52a4-4b0e-9a53-0d6c6a1f7b11',
  clientSecret: null,
  pop3Security: 'tls',
  smtpSecurity: 'starttls',
  deleteAfterDays: null,
  condition: 'ok',
} as const satisfies Partial<Resident>

const google = {
  ...microsoft,
  provider: 'google',
  server: 'google',
  flow: 'refresh_token',
  clientId: '482915530217-muster.apps.googleusercontent.example',
  clientSecret: 'GOCSPX-Sandbox-Muster',
} as const satisfies Partial<Resident>

const generic = {
  ...microsoft,
  provider: 'generic',
  server: 'generic',
  flow: 'basic',
  clientId: '',
  pop3Security: 'starttls',
} as const satisfies Partial<Resident>

const appOnly = {
  ...microsoft,
  flow: 'client_credentials',
  clientId: 'c2b7a8f4-0f3e-4f51-8f0c-5d2b9d7e4a22',
  clientSecret: 'Sandbox~Service~Secret',
} as const satisfies Partial<Resident>

export const RESIDENTS: readonly Resident[] = [
  { ...microsoft, name: 'info', label: 'Info' },
  { ...microsoft, name: 'buchhaltung', label: 'Buchhaltung', flow: 'refresh_token', deleteAfterDays: 7 },
  { ...google, name: 'verkauf', label: 'Verkauf', smtpSecurity: 'tls' },
  { ...appOnly, name: 'service', label: 'Service' },
  { ...generic, name: 'lager', label: 'Lager' },
  { ...microsoft, name: 'versand', label: 'Versand', condition: 'smtp-auth-disabled-tenant' },
  { ...microsoft, name: 'einkauf', label: 'Einkauf', flow: 'refresh_token', condition: 'smtp-auth-disabled-mailbox' },
  {
    ...appOnly,
    name: 'personal',
    label: 'Personal',
    clientId: 'e0a93d55-77c1-4a06-b7be-1f4f3c6d8e33',
    clientSecret: 'Sandbox~Personal~Secret',
    condition: 'client-secret-expired',
  },
  { ...microsoft, name: 'chef', label: 'Geschäftsführung', condition: 'security-defaults' },
  { ...microsoft, name: 'archiv', label: 'Archiv', condition: 'consent-missing' },
  { ...google, name: 'privat', label: 'Privat (Gmail)', condition: 'pop-disabled' },
  { ...microsoft, name: 'alt', label: 'Altes Postfach', condition: 'wrong-password' },
  {
    ...generic,
    name: 'werkstatt',
    label: 'Werkstatt',
    server: 'workshop',
    pop3Security: 'tls',
    condition: 'server-garbage',
  },
]

export const emailOf = (resident: Resident): string => `${resident.name}@${COMPANY_DOMAIN}`
export const passwordOf = (resident: Resident): string => `Sandbox-${resident.name}-2026`
const refreshTokenOf = (resident: Resident): string => `1.sandbox-refresh-${resident.name}`

const tenantOf = (resident: Resident): string => (resident.provider === 'microsoft' ? TENANT : resident.provider)

/** What the token endpoint knows; undefined for an account that logs in with its password. */
export function grantOf(resident: Resident): SandboxGrant | undefined {
  if (resident.flow === 'basic') return undefined
  return {
    email: emailOf(resident),
    tenant: tenantOf(resident),
    clientId: resident.clientId,
    clientSecret: resident.clientSecret,
    flows: [resident.flow],
    ...(resident.flow === 'password' ? { password: passwordOf(resident) } : {}),
    ...(resident.flow === 'refresh_token' ? { refreshToken: refreshTokenOf(resident) } : {}),
  }
}

/** As its operator knows it; the secret of one of them ends soon. */
function aboutClient({ clientId, clientSecret }: Resident): {
  client_label?: string
  client_secret_expires_at?: string
} {
  const [label, days] = CLIENTS[clientId] ?? []
  if (label === undefined) return {}
  const endsAt = new Date(Date.now() + (days ?? 0) * 86_400_000).toISOString().slice(0, 10)
  return {
    client_label: label,
    ...(clientSecret !== null && days !== undefined && { client_secret_expires_at: endsAt }),
  }
}

const CLIENTS: Readonly<Record<string, readonly [label: string, days?: number]>> = {
  [microsoft.clientId]: ['bm_mail'],
  [google.clientId]: ['Gmail-Anbindung', 140],
  'c2b7a8f4-0f3e-4f51-8f0c-5d2b9d7e4a22': ['bm_service', 23],
  'e0a93d55-77c1-4a06-b7be-1f4f3c6d8e33': ['bm_personal', -3],
}

const SCOPES: Readonly<Record<Provider, Readonly<Record<SandboxFlow, string>>>> = {
  microsoft: {
    password: 'https://outlook.office365.com/.default offline_access',
    refresh_token:
      'https://outlook.office.com/POP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access',
    client_credentials: 'https://outlook.office365.com/.default',
  },
  google: { password: '', refresh_token: 'https://mail.google.com/', client_credentials: '' },
  generic: { password: 'mail', refresh_token: 'mail offline_access', client_credentials: 'mail' },
}

export interface ImportFacts {
  pop3Port(resident: Resident): number
  smtpPort(resident: Resident): number
  tokenUrl(tenant: string): string
  readonly pollIntervalSeconds: number
}

export function importOf(resident: Resident, facts: ImportFacts): AccountImport {
  const username = emailOf(resident)
  return {
    email: username,
    label: resident.label,
    default: resident.name === 'info',
    pop3: { host: 'localhost', port: facts.pop3Port(resident), security: resident.pop3Security, username },
    smtp: { host: 'localhost', port: facts.smtpPort(resident), security: resident.smtpSecurity, username },
    auth:
      resident.flow === 'basic'
        ? { type: 'password', password: passwordOf(resident) }
        : {
            type: 'oauth2',
            flow: resident.flow,
            token_endpoint: facts.tokenUrl(tenantOf(resident)),
            client_id: resident.clientId,
            client_secret: resident.clientSecret,
            ...aboutClient(resident),
            scope: SCOPES[resident.provider][resident.flow],
            ...(resident.flow === 'password' ? { password: passwordOf(resident) } : {}),
            ...(resident.flow === 'refresh_token' ? { refresh_token: refreshTokenOf(resident) } : {}),
          },
    poll_interval_seconds: facts.pollIntervalSeconds,
    delete_after_days: resident.deleteAfterDays,
  }
}
