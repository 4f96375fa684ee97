// How an account logs in, as the account file says it: checked field by field, its well-known traps defused and said so. Pure.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { z } from 'zod'
import { instant } from '../base/clock.ts'
import type { ClientLimits } from '../db/oauth-clients.ts'
import { cloudNotes, presetFor, providerOf } from '../oauth/provider-presets.ts'
import { FLOWS, type ClientProof, type Flow } from '../oauth/token.ts'
import { oneLine, report, secret, together, type HostCheck } from './fields.ts'
import { clientLimits, toClientLimits } from './sending-settings.ts'

const passwordAuth = z.strictObject({ type: z.literal('password'), password: secret })
const day = z
  .string('is not a text')
  .refine((text) => instant(text.slice(0, 10), '00:00', 'Z') !== undefined && !Number.isNaN(Date.parse(text)), {
    error: 'is not a date like 2027-11-30',
    abort: true,
  })
  .transform((text) => new Date(text))
const pem = z.string('is not a text').max(50_000, 'is too long')

const oauthAuth = (checkHost: HostCheck) =>
  z
    .strictObject(
      {
        type: z.literal('oauth2'),
        flow: z.enum(FLOWS, `must be one of ${FLOWS.join(', ')}`),
        token_endpoint: z
          .string('is not a text')
          .max(2_000, 'is too long')
          .superRefine((text, ctx) => report(ctx, ...endpointProblems(text, checkHost))),
        client_id: oneLine(500)
          .transform((text) => text.trim())
          .refine((text) => text !== '', 'is empty'),
        client_label: oneLine(200).optional(),
        // the form's field stays empty for a public client
        client_secret: z.preprocess((value) => (value === '' ? null : value), secret.nullable().optional()),
        client_secret_expires_at: day.nullable().optional(),
        client_certificate: z.strictObject({ certificate: pem, private_key: pem }, 'is not an object').optional(),
        service_account_key: z
          .looseObject(
            { client_email: oneLine(320), private_key_id: oneLine(200), private_key: pem },
            'is not an object',
          )
          .optional(),
        scope: oneLine(4_000)
          .transform((text) => text.trim().replace(/\s+/g, ' '))
          .refine((text) => text !== '', 'is empty'),
        username: oneLine(320).min(1, 'is empty').optional(),
        password: secret.optional(),
        refresh_token: secret.optional(),
        limits: clientLimits,
      },
      'is not an object',
    )
    .refine(
      (input) => input.flow !== 'password' || input.password !== undefined,
      together('password', 'is missing; the flow "password" needs it'),
    )
    .refine(
      (input) => input.flow !== 'refresh_token' || input.refresh_token !== undefined,
      together('refresh_token', 'is missing; the flow "refresh_token" needs it'),
    )
    .refine(
      (input) =>
        input.flow !== 'client_credentials' ||
        (input.client_secret ?? null) !== null ||
        input.client_certificate !== undefined,
      together('client_secret', 'is missing; the flow "client_credentials" needs it, or client_certificate'),
    )
    .refine(
      (input) => (input.flow === 'service_account') === (input.service_account_key !== undefined),
      together('service_account_key', 'is needed by the flow "service_account", and by that alone'),
    )
    .refine(
      (input) => input.client_certificate === undefined || (input.client_secret ?? null) === null,
      together('client_certificate', 'stands beside client_secret; an app registration has one of them'),
    )
    .superRefine((input, ctx) => {
      for (const [field, problem] of keyProblems(input))
        ctx.addIssue({ code: 'custom', path: [field], message: problem })
    })

interface Keys {
  readonly client_certificate?: { certificate: string; private_key: string } | undefined
  readonly service_account_key?: { private_key: string } | undefined
}

function* keyProblems({ client_certificate: given, service_account_key: account }: Keys): Generator<[string, string]> {
  if (account && !readable(() => createPrivateKey(account.private_key)))
    yield ['service_account_key', 'private_key cannot be read as a PEM key']
  if (!given) return
  const certificate = readable(() => new X509Certificate(given.certificate))
  const key = readable(() => createPrivateKey(given.private_key))
  if (!certificate) yield ['client_certificate', 'certificate cannot be read as a PEM certificate']
  if (!key) yield ['client_certificate', 'private_key cannot be read as a PEM key']
  if (certificate && key && !certificate.checkPrivateKey(key))
    yield ['client_certificate', 'the private key does not belong to the certificate']
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

export const authFields = (checkHost: HostCheck) =>
  z.discriminatedUnion('type', [passwordAuth, oauthAuth(checkHost)], 'must be "password" or "oauth2"')

type AuthInput = z.infer<ReturnType<typeof authFields>>
type OAuthInput = Extract<AuthInput, { type: 'oauth2' }>

export type AuthSettings =
  | { readonly type: 'password'; readonly password: string }
  | {
      readonly type: 'oauth2'
      readonly flow: Flow
      readonly tokenEndpoint: string
      readonly clientId: string
      readonly proof: ClientProof
      /** Of the secret or the certificate; null: there is none, or it is not known. Absent: it stays as it is. */
      readonly secretExpiresAt?: Date | null
      /** Absent: it stays as it is. */
      readonly clientLabel?: string
      readonly scope: string
      /** Who signs in, where it is not the mailbox itself. */
      readonly username?: string
      readonly password?: string
      readonly refreshToken?: string
      /** Of the app registration; absent: they stay as they are. */
      readonly limits?: ClientLimits
    }

const withoutBlanks = (text: string): string => text.replace(/\s+/g, '')

function endpointProblems(text: string, checkHost: HostCheck): string[] {
  const endpoint = withoutBlanks(text)
  const problems = /[{}]/.test(endpoint) ? ['still contains a placeholder in braces; put the tenant ID there'] : []
  const url = URL.parse(endpoint)
  if (!url) return [...problems, 'is not a URL']
  if (url.protocol !== 'https:') problems.push('does not begin with https://')
  if (url.username !== '' || url.password !== '') problems.push('contains a user name')
  const refused = checkHost(url.hostname.replace(/^\[|\]$/g, ''))
  return refused === undefined ? problems : [...problems, refused]
}

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** `notes` gets what was understood differently from how it was written, and what looks wrong. */
export function authSettings(input: AuthInput, notes: string[]): AuthSettings {
  if (input.type === 'password') return input
  const tokenEndpoint = withoutBlanks(input.token_endpoint)
  if (tokenEndpoint !== input.token_endpoint.trim())
    notes.push('auth.token_endpoint: a blank inside the URL was removed')
  const { client_secret: clientSecret = null } = input
  if (clientSecret !== null && GUID.test(clientSecret)) {
    notes.push(
      'auth.client_secret: looks like the ID of the secret; needed is the value (in Entra: "Wert", not "Geheime ID")',
    )
  }
  notes.push(...cloudNotes(tokenEndpoint, input.scope), ...scopeNotes(tokenEndpoint, input))
  const atMicrosoft = /microsoft/.test(new URL(tokenEndpoint).hostname)
  if (!GUID.test(input.client_id) && atMicrosoft)
    notes.push('auth.client_id: a Microsoft application ID has the form of a GUID')
  return {
    type: 'oauth2',
    flow: input.flow,
    tokenEndpoint,
    clientId: input.client_id,
    proof: proofOf(input),
    ...expiryOf(input),
    ...(input.client_label !== undefined && { clientLabel: input.client_label }),
    scope: input.scope,
    ...(input.username !== undefined && { username: input.username }),
    ...(input.password !== undefined && { password: input.password }),
    ...(input.refresh_token !== undefined && { refreshToken: input.refresh_token }),
    ...(input.limits !== undefined && { limits: toClientLimits(input.limits) }),
  }
}

/** Which scope belongs to which way of signing in, at Microsoft. */
function scopeNotes(tokenEndpoint: string, { flow, scope }: Pick<OAuthInput, 'flow' | 'scope'>): string[] {
  if (providerOf(tokenEndpoint) !== 'microsoft') return []
  if (flow === 'client_credentials' && !/\/\.default\b/.test(scope))
    return [
      `auth.scope: an app without a user needs the scope that ends in /.default, as ${presetFor('microsoft').appScope}`,
    ]
  const bySomebody = flow === 'authorization_code' || flow === 'device_code'
  return bySomebody && !/\boffline_access\b/.test(scope)
    ? ['auth.scope: without offline_access somebody has to sign in again every hour']
    : []
}

function proofOf(input: OAuthInput): ClientProof {
  const { client_secret: given, client_certificate: certificate, service_account_key: account } = input
  if (account)
    return {
      kind: 'service_account',
      clientEmail: account.client_email,
      keyId: account.private_key_id,
      privateKeyPem: account.private_key,
    }
  if (certificate)
    return { kind: 'certificate', certificatePem: certificate.certificate, privateKeyPem: certificate.private_key }
  return given === null || given === undefined ? { kind: 'none' } : { kind: 'secret', secret: given }
}

function expiryOf(input: OAuthInput): { secretExpiresAt?: Date | null } {
  const { client_secret_expires_at: told, client_certificate: certificate } = input
  if (certificate) return { secretExpiresAt: new X509Certificate(certificate.certificate).validToDate }
  return told === undefined ? {} : { secretExpiresAt: told }
}
