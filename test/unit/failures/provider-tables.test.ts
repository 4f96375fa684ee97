// What Microsoft and Google are known to answer, by number, code and meaning: in words of our own, because theirs change.

import { expect, test } from 'vitest'
import type { Provider, Stage } from '../../../src/base/failure.ts'
import { classify } from '../../../src/failures/classify.ts'
import { providerOfWords, stageOf } from '../../../src/failures/explained.ts'

const ENTRA: Readonly<Record<string, readonly number[]>> = {
  invalid_credentials: [50126, 50064],
  user_not_found: [50034, 500341],
  wrong_tenant_for_user: [50020],
  account_locked: [50053],
  password_expired: [50055, 50144],
  password_change_required_risk: [50135],
  account_disabled: [50057],
  ropc_not_possible_for_user: [50056],
  mfa_required: [50074, 50076],
  mfa_enrollment_required: [50072, 50079],
  mfa_reauth_required: [50078],
  conditional_access_blocked: [50158, 53000, 53001, 53002, 53003, 530032, 530084, 50131],
  security_defaults_block: [530035],
  device_code_flow_blocked: [530036],
  signin_frequency_policy: [70043],
  account_risk_blocked: [53004, 53011, 530034],
  user_not_assigned_to_app: [50105],
  admin_consent_missing: [65001, 650056, 650057, 90008, 90094],
  consent_declined: [65004],
  resource_not_in_tenant: [500011, 650052, 50001],
  invalid_scope: [70011, 1002012, 28000, 700022],
  client_secret_invalid: [7000215],
  client_secret_expired: [7000222],
  public_client_flows_not_enabled: [7000218],
  public_client_secret_sent: [700025],
  app_not_found: [700016, 70001],
  app_disabled: [7000112],
  service_principal_missing: [7000229],
  client_certificate_invalid: [700027, 50012],
  clock_skew: [700024, 80013],
  tenant_not_found: [90002],
  token_url_invalid: [900023, 50059, 50128, 90019, 50194, 90130],
  ropc_endpoint_unsupported: [9001023, 90010],
  account_type_not_supported: [9002332, 500208],
  wrong_cloud: [900439, 900382, 900432, 90038],
  refresh_token_expired: [700082, 70008],
  spa_refresh_token_24h: [700084],
  refresh_token_revoked: [50173, 50132, 50133],
  stored_token_corrupt: [9002313],
  device_code_pending: [70016],
  device_code_invalid: [70018],
  device_code_expired: [70019],
  auth_code_invalid: [54005, 501481, 700005],
  redirect_uri_mismatch: [50011],
  oauth_request_invalid: [900144, 70003, 90014],
  token_endpoint_throttled: [50196, 90055],
  token_endpoint_unavailable: [90033, 50033, 90006, 90012, 90024, 90090, 50087, 70012],
  onprem_auth_unavailable: [80001, 80002, 80005, 80007, 80014],
  logon_hours_restricted: [80012],
}

test.each(Object.entries(ENTRA).flatMap(([flag, codes]) => codes.map((code) => [code, flag] as const)))(
  'AADSTS%d is %s, whatever the words and the error beside it',
  (code, flag) => {
    for (const error of ['invalid_grant', 'invalid_request', 'interaction_required', 'unauthorized_client'])
      for (const words of ['Etwas ging schief.', 'Words nobody has seen yet, with a line\r\nbreak and a\u00a0blank.']) {
        const description = `AADSTS${code}: ${words} Trace ID: 0b2d8a4e-1111-2222-3333-444455556666`
        const reply = JSON.stringify({ error, error_description: description, error_codes: [code] })
        expect(classify({ provider: 'microsoft', stage: 'token', reply, httpStatus: 400 }).flag).toBe(flag)
        expect(classify({ provider: 'microsoft', stage: 'token', reply: description }).flag).toBe(flag)
      }
  },
)

const REPLIES: readonly (readonly [Provider, Stage, string, string])[] = [
  [
    'google',
    'token',
    '{"error":"invalid_grant","error_description":"Token has been expired or revoked."}',
    'refresh_token_revoked',
  ],
  [
    'google',
    'token',
    '{"error":"invalid_client","error_description":"The OAuth client was not found."}',
    'app_not_found',
  ],
  ['google', 'token', '{"error":"deleted_client","error_description":"gone"}', 'app_deleted'],
  ['google', 'token', '{"error":"admin_policy_enforced","error_description":"no"}', 'admin_policy_blocked'],
  ['google', 'token', '{"error":"rate_limit_exceeded"}', 'token_endpoint_throttled'],
  ['microsoft', 'pop3', '-ERR Server Unavailable. 21', 'pop3_server_unavailable'],
  ['microsoft', 'pop3', '-ERR Authentication failure: unknown user name or bad password.', 'pop3_auth_rejected'],
  ['google', 'pop3', '-ERR [SYS/PERM] Your account is not enabled for POP access.', 'pop3_disabled_mailbox'],
  [
    'google',
    'pop3',
    '-ERR [AUTH] Account exceeded pop command or bandwidth limits (Failure)',
    'pop3_bandwidth_exceeded',
  ],
  [
    'google',
    'pop3',
    '-ERR [AUTH] Application-specific password required: https://support.google.com',
    'app_password_required',
  ],
  ['generic', 'pop3', '-ERR [IN-USE] Mailbox is locked by another POP3 session.', 'mailbox_in_use'],
  ['generic', 'pop3', '-ERR [SYS/TEMP] Temporary authentication failure. [host:2026]', 'pop3_server_unavailable'],
  [
    'microsoft',
    'smtp',
    '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. [AB1PR01CA0001.prod.example]',
    'smtp_auth_disabled_tenant',
  ],
  [
    'microsoft',
    'smtp',
    '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.',
    'smtp_auth_disabled_mailbox',
  ],
  [
    'microsoft',
    'smtp',
    "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.",
    'security_defaults_block',
  ],
  [
    'microsoft',
    'smtp',
    '535 5.7.139 Authentication unsuccessful, basic authentication is disabled.',
    'basic_auth_disabled',
  ],
  [
    'microsoft',
    'smtp',
    '535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.',
    'invalid_credentials',
  ],
  ['microsoft', 'smtp', '550 5.7.60 SMTP; Client does not have permissions to send as this sender', 'send_as_denied'],
  ['microsoft', 'smtp', '432 4.3.2 Concurrent connections limit exceeded.', 'smtp_concurrency_limited'],
  [
    'microsoft',
    'smtp',
    '550 5.7.30 Basic authentication is not supported for Client Submission.',
    'basic_auth_disabled',
  ],
  [
    'google',
    'smtp',
    '534-5.7.9 Application-specific password required.\r\n534 5.7.9 More at https://support.google.com/ x - gsmtp',
    'app_password_required',
  ],
  ['google', 'smtp', '454 4.7.0 Too many login attempts, please try again later. x - gsmtp', 'smtp_login_throttled'],
]

test.each(REPLIES)('%s %s %j is %s', (provider, stage, reply, flag) => {
  expect(classify({ provider, stage, reply }).flag).toBe(flag)
  // as other programs show it
  const wrapped = stage === 'token' ? reply : `Invalid login: ${reply}`
  expect(classify({ provider, stage, reply: wrapped }).flag).toBe(flag)
})

test('where a pasted reply comes from is told by its words', () => {
  const wrong = REPLIES.filter(([provider, stage, reply]) => {
    const found = providerOfWords(reply)
    return stageOf(reply) !== stage || (found !== provider && found !== 'generic')
  })
  expect(wrong).toEqual([])
  expect([stageOf('AADSTS50126: x'), providerOfWords('AADSTS50126: x')]).toEqual(['token', 'microsoft'])
})
