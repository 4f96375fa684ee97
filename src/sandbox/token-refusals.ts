// What the simulator's token endpoint refuses, and in which words: Entra's with their numbers, Google's, and those of a plain server.

import { randomUUID } from 'node:crypto'

export type Kind = 'microsoft' | 'google' | 'generic'
export type Answer = {
  readonly status: number
  readonly body: string
  readonly headers?: Record<string, string> | undefined
}
/** A request to the endpoint, as far as its answer depends on it. */
export type Asked = {
  readonly kind: Kind
  readonly tenant: string
  readonly clientId: string
  readonly form: URLSearchParams
}

/** What can be wrong with a request, an account or its client, and how Entra says it: AADSTS number, `error`, words. */
const ENTRA = {
  account_disabled: '50057 invalid_grant The user account is disabled.',
  account_locked: "50053 invalid_grant The account is locked, you've tried to sign in too many times.",
  app_disabled: "7000112 unauthorized_client Application '{client}'(Poststelle) is disabled.",
  app_not_found: "700016 unauthorized_client Application '{client}' was not found in the directory '{tenant}'.",
  auth_code_invalid:
    '70008 invalid_grant The provided authorization code or refresh token has expired due to inactivity.',
  client_certificate_invalid: '700027 invalid_client Client assertion failed signature validation.',
  client_secret_expired: "7000222 invalid_client The provided client secret keys for app '{client}' are expired.",
  client_secret_invalid: "7000215 invalid_client Invalid client secret provided for app '{client}'.",
  client_secret_missing: "7000218 invalid_client The request body must contain 'client_assertion' or 'client_secret'.",
  client_secret_unwanted: "700025 invalid_client Client is public so 'client_secret' should not be presented.",
  conditional_access_blocked: '53003 invalid_grant Access has been blocked by Conditional Access policies.',
  consent_missing: "65001 invalid_grant The user or administrator has not consented to use the application '{client}'.",
  grant_type_missing: "900144 invalid_request The request body must contain the following parameter: 'grant_type'.",
  grant_type_unsupported: '70003 unsupported_grant_type The app requested an unsupported grant type.',
  invalid_credentials: '50126 invalid_grant Error validating credentials due to invalid username or password.',
  invalid_scope: "70011 invalid_scope The provided value for the input parameter 'scope' is not valid: {scope}",
  mfa_enrollment_required: '50079 invalid_grant You must enroll in multi-factor authentication.',
  mfa_required: '50076 invalid_grant You must use multi-factor authentication.',
  password_expired: '50055 invalid_grant The password is expired.',
  refresh_token_expired: '700082 invalid_grant The refresh token has expired\u00a0due to inactivity for 90.00:00:00.',
  refresh_token_malformed: '9002313 invalid_grant Invalid request. Request is malformed or invalid.',
  refresh_token_revoked: '50173 invalid_grant The provided grant has expired due to it being revoked.',
  ropc_endpoint_unsupported: '9001023 invalid_request The grant type is not supported over /common or /consumers.',
  scope_without_default: '1002012 invalid_scope Client credential flows must have a scope suffixed with /.default.',
  security_defaults_block: '530035 invalid_grant Access has been blocked by security defaults.',
  tenant_not_found: "90002 invalid_tenant Tenant '{tenant}' not found. Check that you have the correct tenant ID.",
  token_endpoint_throttled: '90055 temporarily_unavailable The request was throttled because of too many requests.',
  token_endpoint_unavailable: '90033 temporarily_unavailable A transient error has occurred. Please try again.',
  user_not_found: '50034 invalid_grant The user account {EmailHidden} does not exist in the {tenant} directory.',
}

export type SandboxRefusal = keyof typeof ENTRA

/** Google's answers have no numbers, and few words. */
const GOOGLE: Partial<Record<SandboxRefusal, string>> = {
  app_not_found: 'invalid_client The OAuth client was not found.',
  app_disabled: 'deleted_client The OAuth client was deleted.',
  client_secret_invalid: 'invalid_client The provided client secret is invalid.',
  client_secret_expired: 'invalid_client The provided client secret is invalid.',
  client_secret_missing: 'invalid_request client_secret is missing.',
  conditional_access_blocked: 'admin_policy_enforced Access to your account data is restricted by policies.',
  grant_type_unsupported: 'unsupported_grant_type Invalid grant_type',
  mfa_required: 'invalid_grant reauth related error (invalid_rapt)',
  refresh_token_malformed: 'invalid_grant Bad Request',
  token_endpoint_throttled: 'rate_limit_exceeded Rate Limit Exceeded',
  token_endpoint_unavailable: 'temporarily_unavailable The server is temporarily unavailable.',
}

const HTTP_STATUS = new Map(
  Object.entries({ invalid_client: 401, deleted_client: 401, temporarily_unavailable: 503, rate_limit_exceeded: 429 }),
)

export function refusalAnswer(refusal: SandboxRefusal, { kind, tenant, clientId, form }: Asked, now: Date): Answer {
  const [, code, error = '', words = ''] = /^(?:(\d+) )?(\S+) (.*)$/.exec(lineOf(refusal, kind)) ?? []
  const status = refusal === 'token_endpoint_throttled' ? 429 : (HTTP_STATUS.get(error) ?? 400)
  const headers = status === 429 ? { 'retry-after': '30' } : undefined
  if (code === undefined) {
    const subtype = /\((invalid_rapt)\)/.exec(words)?.[1]
    const body = { error, error_description: words, ...(subtype && { error_subtype: subtype }) }
    return { status, headers, body: JSON.stringify(body, null, 2) }
  }
  const said: Record<string, string> = { client: clientId, tenant, scope: form.get('scope') ?? '' }
  const sentence = words.replaceAll(/\{(client|tenant|scope)\}/g, (_, name: string) => said[name] ?? '')
  const timestamp = now.toISOString().replace('T', ' ').replace(/\.\d+/, '')
  const [traceId, correlationId] = [randomUUID(), form.get('client-request-id') ?? randomUUID()]
  const description = `AADSTS${code}: ${sentence} Trace ID: ${traceId} Correlation ID: ${correlationId} Timestamp: ${timestamp}`
  const trace = { timestamp, trace_id: traceId, correlation_id: correlationId }
  const uri = `https://login.microsoftonline.com/error?code=${code}`
  const body = { error, error_description: description, error_codes: [Number(code)], ...trace, error_uri: uri }
  return { status, headers, body: JSON.stringify(body) }
}

function lineOf(refusal: SandboxRefusal, kind: Kind): string {
  if (kind === 'microsoft') return ENTRA[refusal]
  if (kind === 'google') return GOOGLE[refusal] ?? 'invalid_grant Token has been expired or revoked.'
  const error = ENTRA[refusal].split(' ')[1]
  return `${error === 'unauthorized_client' ? 'invalid_client' : error} ${refusal.replaceAll('_', ' ')}`
}
