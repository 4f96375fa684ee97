// How an account logs in, as the account file says it: checked field by field, its well-known traps defused and said so. Pure.

import { z } from 'zod'
import type { ClientLimits } from '../db/oauth-clients.ts'
import { oneLine, report, secret, together, type HostCheck } from './fields.ts'
import { clientLimits, toClientLimits } from './sending-settings.ts'

const passwordAuth = z.strictObject({ type: z.literal('password'), password: secret })
const oauthAuth = (checkHost: HostCheck) =>
  z
    .strictObject(
      {
        type: z.literal('oauth2'),
        flow: z.enum(
          ['password', 'refresh_token', 'client_credentials'],
          'must be "password", "refresh_token" or "client_credentials"',
        ),
        token_endpoint: z
          .string('is not a text')
          .max(2_000, 'is too long')
          .superRefine((text, ctx) => report(ctx, ...endpointProblems(text, checkHost))),
        client_id: oneLine(500)
          .transform((text) => text.trim())
          .refine((text) => text !== '', 'is empty'),
        // the form's field stays empty for a public client
        client_secret: z.preprocess((value) => (value === '' ? null : value), secret.nullable().optional()),
        scope: oneLine(4_000)
          .transform((text) => text.trim().replace(/\s+/g, ' '))
          .refine((text) => text !== '', 'is empty'),
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
      (input) => input.flow !== 'client_credentials' || (input.client_secret ?? null) !== null,
      together('client_secret', 'is missing; the flow "client_credentials" needs it'),
    )

export const authFields = (checkHost: HostCheck) =>
  z.discriminatedUnion('type', [passwordAuth, oauthAuth(checkHost)], 'must be "password" or "oauth2"')

type AuthInput = z.infer<ReturnType<typeof authFields>>

export type AuthSettings =
  | { readonly type: 'password'; readonly password: string }
  | {
      readonly type: 'oauth2'
      readonly flow: 'password' | 'refresh_token' | 'client_credentials'
      readonly tokenEndpoint: string
      readonly clientId: string
      readonly clientSecret: string | null
      readonly scope: string
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
  const clientSecret = input.client_secret ?? null
  if (clientSecret !== null && GUID.test(clientSecret)) {
    notes.push(
      'auth.client_secret: looks like the ID of the secret; needed is the value (in Entra: "Wert", not "Geheime ID")',
    )
  }
  const atMicrosoft = /microsoft/.test(new URL(tokenEndpoint).hostname)
  if (!GUID.test(input.client_id) && atMicrosoft)
    notes.push('auth.client_id: a Microsoft application ID has the form of a GUID')
  return {
    type: 'oauth2',
    flow: input.flow,
    tokenEndpoint,
    clientId: input.client_id,
    clientSecret,
    scope: input.scope,
    ...(input.password !== undefined && { password: input.password }),
    ...(input.refresh_token !== undefined && { refreshToken: input.refresh_token }),
    ...(input.limits !== undefined && { limits: toClientLimits(input.limits) }),
  }
}
