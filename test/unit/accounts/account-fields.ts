// Accounts as they stand in an import file, and what the import says about them.

import type { HostCheck } from '../../../src/accounts/fields.ts'
import { parseAccounts, type AccountSettings } from '../../../src/accounts/settings.ts'
import { UserError } from '../../../src/base/failure.ts'

export const SECRET = 'canary-secret'
export const GUID = '6b29fc40-ca47-1067-b31d-00dd010662da'

/** What an account in the file looks like; a test changes what it is about. */
export type Fields = Record<string, unknown>
export const host = (over: Fields = {}): Fields => ({
  host: 'outlook.office365.com',
  port: 995,
  security: 'tls',
  ...over,
})
export const oauth = (over: Fields = {}): Fields => ({
  type: 'oauth2',
  flow: 'password',
  token_endpoint: `https://login.microsoftonline.com/${GUID}/oauth2/v2.0/token`,
  client_id: GUID,
  client_secret: SECRET,
  scope: 'https://outlook.office365.com/.default',
  password: SECRET,
  ...over,
})
export const account = (over: Fields = {}): Fields => ({
  email: 'info@firma.example',
  pop3: host(),
  auth: oauth(),
  ...over,
})

export const anyHost: HostCheck = () => undefined
export const read = (value: unknown, check: HostCheck = anyHost): AccountSettings[] =>
  parseAccounts(JSON.stringify(value), 'accounts.json', check)

export function one(value: Fields): AccountSettings {
  const [parsed] = read(value)
  if (!parsed) throw new Error('no account')
  return parsed
}

export function problemsOf(text: string, check: HostCheck = anyHost): string[] {
  try {
    parseAccounts(text, 'accounts.json', check)
  } catch (error) {
    if (!(error instanceof UserError) || error.exitCode !== 2) throw error
    if (error.message.includes('canary')) throw new Error('the secret is in the message', { cause: error })
    return error.message.split('\n')
  }
  return []
}
export const problems = (value: unknown, check?: HostCheck): string[] => problemsOf(JSON.stringify(value), check)
export const ofFirst = (...lines: string[]): string[] =>
  lines.map((line) => `accounts.json: account 1 (info@firma.example): ${line}`)
