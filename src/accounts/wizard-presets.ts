// What is filled in for somebody who adds an account: hosts, ports, token endpoint and scopes of the providers that are known.

import type { Endpoint } from '../net/net.ts'
import { presetFor } from '../oauth/provider-presets.ts'

export interface WizardPreset {
  readonly name: string
  /** '' where it has none of its own. */
  readonly title: string
  /** Domains of addresses that belong to it for certain. */
  readonly domains: string[]
  readonly pop3: Endpoint
  readonly smtp: Endpoint
  readonly token_endpoint: string | null
  /** By the way of signing in. */
  readonly scopes: Record<string, string>
  /** Ways of signing in, the recommended one first; `basic` is name and password. */
  readonly flows: string[]
}

const microsoft = presetFor('microsoft')
const google = presetFor('google')

export const WIZARD_PRESETS: readonly WizardPreset[] = [
  {
    name: 'microsoft365',
    title: 'Microsoft 365',
    domains: [],
    pop3: { host: 'outlook.office365.com', port: 995, security: 'tls' },
    smtp: { host: 'smtp.office365.com', port: 587, security: 'starttls' },
    token_endpoint: microsoft.tokenEndpoint,
    scopes: {
      authorization_code: microsoft.delegatedScope ?? '',
      device_code: microsoft.delegatedScope ?? '',
      password: microsoft.delegatedScope ?? '',
      refresh_token: microsoft.delegatedScope ?? '',
      client_credentials: microsoft.appScope ?? '',
    },
    flows: ['authorization_code', 'client_credentials', 'device_code', 'password', 'refresh_token'],
  },
  {
    name: 'outlook',
    title: 'Outlook.com',
    domains: ['outlook.com', 'outlook.de', 'hotmail.com', 'hotmail.de', 'live.com', 'live.de', 'msn.com'],
    pop3: { host: 'outlook.office365.com', port: 995, security: 'tls' },
    smtp: { host: 'smtp-mail.outlook.com', port: 587, security: 'starttls' },
    token_endpoint: 'https://login.microsoftonline.com/consumers/oauth2/v2.0/token',
    scopes: {
      authorization_code: microsoft.delegatedScope ?? '',
      device_code: microsoft.delegatedScope ?? '',
      refresh_token: microsoft.delegatedScope ?? '',
    },
    flows: ['authorization_code', 'device_code', 'refresh_token'],
  },
  {
    name: 'google',
    title: 'Gmail, Google Workspace',
    domains: ['gmail.com', 'googlemail.com'],
    pop3: { host: 'pop.gmail.com', port: 995, security: 'tls' },
    smtp: { host: 'smtp.gmail.com', port: 465, security: 'tls' },
    token_endpoint: google.tokenEndpoint,
    scopes: {
      authorization_code: google.delegatedScope ?? '',
      service_account: google.delegatedScope ?? '',
      refresh_token: google.delegatedScope ?? '',
    },
    flows: ['authorization_code', 'service_account', 'refresh_token', 'basic'],
  },
  {
    name: 'generic',
    title: '',
    domains: [],
    pop3: { host: '', port: 995, security: 'tls' },
    smtp: { host: '', port: 587, security: 'starttls' },
    token_endpoint: null,
    scopes: {},
    flows: ['basic', 'authorization_code', 'client_credentials', 'device_code', 'password', 'refresh_token'],
  },
]
