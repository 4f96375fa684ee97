// Replies from the field that the catalogue of samples does not hold: other Entra numbers, other servers, and the network's own codes.

import { expect, it } from 'vitest'
import type { Scope, Stage } from '../../../src/base/failure.ts'
import { classify } from '../../../src/failures/classify.ts'

const entra = (code: number, words = 'Some words.', error = 'invalid_grant'): string =>
  JSON.stringify({ error, error_description: `AADSTS${code}: ${words}`, error_codes: [code] })

type Row = readonly [stage: Stage, step: string, reply: string, flag: string, scope?: Scope]

const rows: readonly Row[] = [
  // Entra numbers that the samples do not show
  ['token', '', entra(500341), 'user_not_found'],
  ['token', '', entra(53002), 'conditional_access_blocked'],
  ['token', '', entra(50131), 'conditional_access_blocked'],
  [
    'token',
    '',
    entra(
      70043,
      'The refresh token has expired or is invalid due to sign-in frequency checks.',
      'interaction_required',
    ),
    'signin_frequency_policy',
  ],
  ['token', '', entra(53011), 'account_risk_blocked'],
  ['token', '', entra(650057, 'Invalid resource.', 'invalid_resource'), 'admin_consent_missing'],
  ['token', '', entra(50001), 'resource_not_in_tenant'],
  ['token', '', entra(700022), 'invalid_scope'],
  ['token', '', entra(700016, 'Application was not found in the directory.', 'unauthorized_client'), 'app_not_found'],
  ['token', '', entra(50012, 'bad assertion', 'invalid_client'), 'client_certificate_invalid'],
  ['token', '', entra(90130), 'token_url_invalid'],
  ['token', '', entra(90010), 'ropc_endpoint_unsupported'],
  ['token', '', entra(500208), 'account_type_not_supported'],
  ['token', '', entra(900382), 'wrong_cloud'],
  ['token', '', entra(70000, 'The provided grant has expired.'), 'refresh_token_expired'],
  ['token', '', entra(50173, 'The provided grant has expired due to it being revoked.'), 'refresh_token_revoked'],
  ['token', '', entra(501481), 'auth_code_invalid'],
  ['token', 'authorization_code', entra(70008), 'auth_code_invalid'],
  [
    'token',
    '',
    entra(50196, 'The server terminated an operation because it encountered a client request loop.'),
    'token_endpoint_throttled',
    'app',
  ],
  ['token', '', entra(50087), 'token_endpoint_unavailable', 'server'],
  ['token', '', entra(80014), 'onprem_auth_unavailable'],
  ['token', '', entra(80013), 'clock_skew'],
  // the older spelling of a code, and a number nobody knows: the error beside it would mislead
  ['token', '', entra(50053, "You've tried to sign in too many times", 'unauthorized_client'), 'account_locked'],
  ['token', '', entra(50999999), 'unclassified'],
  [
    'token',
    '',
    'AADSTS50126: Error validating credentials due to invalid username or password.',
    'invalid_credentials',
  ],
  // other token endpoints
  [
    'token',
    'refresh_token',
    '{"error":"invalid_grant","error_description":"Offline user session not found"}',
    'refresh_token_expired',
  ],
  ['token', 'password', '{"error":"invalid_grant","error_description":"no"}', 'invalid_credentials'],
  ['token', 'refresh_token', '{"error":"invalid_grant","error_description":"no"}', 'refresh_token_revoked'],
  [
    'token',
    '',
    '{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes)"}',
    'clock_skew',
  ],
  ['token', '', '{"error":"invalid_client","error_description":"Unauthorized"}', 'client_secret_invalid'],
  // Dovecot, Courier, qpopper, and the big German houses
  ['pop3', 'auth', '-ERR [AUTH] Authentication failed.', 'pop3_auth_rejected'],
  ['pop3', 'auth', '-ERR Login failed.', 'pop3_auth_rejected'],
  ['pop3', 'auth', '-ERR Password supplied for "info" is incorrect.', 'pop3_auth_rejected'],
  ['pop3', 'auth', '-ERR [SYS/TEMP] Server shutting down.', 'pop3_server_unavailable', 'server'],
  ['pop3', 'stat', '-ERR Disconnected for inactivity.', 'pop3_connection_lost'],
  ['pop3', 'retr', '-ERR Message 3 expunged.', 'message_vanished'],
  ['pop3', 'auth', '-ERR Unable to lock maildrop: Mailbox is locked by POP server', 'mailbox_in_use'],
  ['pop3', 'auth', '-ERR [AUTH] Too many simultaneous connections', 'pop3_connection_limit'],
  ['pop3', 'auth', '-ERR POP3 ist nicht aktiviert', 'pop3_disabled_mailbox'],
  ['pop3', 'auth', '-ERR Plaintext authentication disallowed on non-secure (SSL/TLS) connections.', 'wrong_tls_mode'],
  ['pop3', 'auth', '-ERR [SYS/PERM] something new', 'mailbox_not_accessible'],
  ['pop3', 'auth', '-ERR [LOGIN-DELAY] something new', 'pop3_login_delay'],
  ['pop3', 'auth', '-ERR [IN-USE] something new', 'mailbox_in_use'],
  ['pop3', 'tls', '-ERR Command is not valid in this state.', 'starttls_missing'],
  ['pop3', 'greeting', '* OK [CAPABILITY IMAP4rev1] Dovecot ready.', 'wrong_protocol_for_port'],
  ['pop3', 'noop', '-ERR hm', 'unclassified', 'account'],
  // Postfix, Exim, IONOS, Strato, GMX, web.de
  ['smtp', 'auth', '535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6', 'smtp_auth_rejected', 'account'],
  ['smtp', 'auth', '535 Authentication credentials invalid', 'smtp_auth_rejected'],
  ['smtp', 'auth', '535 Incorrect authentication data', 'smtp_auth_rejected'],
  [
    'smtp',
    'auth',
    '454 4.7.0 Temporary authentication failure: Connection lost to authentication server',
    'smtp_temp_failure',
    'server',
  ],
  ['smtp', 'auth', '503 5.5.1 Error: authentication not enabled', 'smtp_mechanism_refused'],
  ['smtp', 'auth', '504 5.5.4 Unrecognized authentication type', 'smtp_mechanism_refused'],
  [
    'smtp',
    'auth',
    '535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [AM0PR01CA0001.eurprd01.prod.exchangelabs.com 2023-09-12T20:59:57.214Z 08DB]',
    'invalid_credentials',
  ],
  [
    'smtp',
    'auth',
    '535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.',
    'conditional_access_blocked',
  ],
  [
    'smtp',
    'mail',
    '530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.',
    'smtp_auth_disabled_tenant',
    'tenant',
  ],
  [
    'smtp',
    'mail',
    '530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.3 Authentication unsuccessful',
    'smtp_auth_rejected',
  ],
  ['smtp', 'mail', '530 5.7.0 Must issue a STARTTLS command first', 'wrong_tls_mode'],
  ['smtp', 'starttls', '454 4.7.0 TLS not available due to local problem', 'starttls_missing'],
  [
    'smtp',
    'mail',
    '550 5.7.60 SMTP; Client does not have permissions to send as this sender',
    'send_as_denied',
    'account',
  ],
  [
    'smtp',
    'rcpt',
    '553 5.7.1 <a@example.com>: Sender address rejected: not owned by user b@example.com',
    'send_as_denied',
    'account',
  ],
  ['smtp', 'mail', '550 Sender address is not allowed.', 'send_as_denied'],
  ['smtp', 'rcpt', '550 5.7.1 You are not allowed to send to this address', 'recipient_rejected', 'recipient'],
  [
    'smtp',
    'rcpt',
    '550 5.1.1 <x@example.com>: Recipient address rejected: User unknown in virtual mailbox table',
    'recipient_rejected',
    'recipient',
  ],
  ['smtp', 'rcpt', '550 Requested action not taken: mailbox unavailable', 'recipient_rejected', 'recipient'],
  ['smtp', 'rcpt', '552 5.2.2 Mailbox quota exceeded', 'recipient_rejected', 'recipient'],
  ['smtp', 'rcpt', '452 4.2.2 Mailbox full', 'smtp_temp_failure', 'recipient'],
  [
    'smtp',
    'rcpt',
    '450 4.2.0 <x@example.com>: Recipient address rejected: Greylisted',
    'smtp_temp_failure',
    'recipient',
  ],
  ['smtp', 'rcpt', '554 5.7.1 <x@example.com>: Relay access denied', 'smtp_auth_required', 'account'],
  ['smtp', 'rcpt', '452 4.5.3 Error: too many recipients', 'recipient_limit_exceeded', 'message'],
  ['smtp', 'rcpt', '550 5.4.5 Daily sending quota exceeded', 'sending_quota_exceeded', 'account'],
  ['smtp', 'dot', '554 5.7.1 Spam message rejected', 'message_rejected_content', 'message'],
  ['smtp', 'dot', '451 4.3.0 Error: queue file write error', 'smtp_temp_failure', 'message'],
  ['smtp', 'mail', '552 5.3.4 Message size exceeds fixed limit', 'message_too_large', 'message'],
  [
    'smtp',
    'dot',
    '554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed',
    'sending_quota_exceeded',
    'account',
  ],
  ['smtp', 'greeting', '421 4.3.2 Service not active', 'smtp_temp_failure', 'server'],
  ['smtp', 'greeting', '421 too many connections from your host', 'smtp_concurrency_limited'],
  ['smtp', 'greeting', '+OK POP3 ready', 'wrong_protocol_for_port'],
  ['smtp', 'greeting', 'SSH-2.0-OpenSSH_9.6', 'server_speaks_garbage'],
  ['smtp', 'dot', '500 5.5.2 Line too long', 'message_malformed', 'message'],
  ['smtp', 'rcpt', '451 4.7.1 Rate limit for this recipient exceeded', 'recipient_rate_limited', 'recipient'],
  // replies of the permanent class that heal by themselves
  [
    'smtp',
    'rcpt',
    '550 Domain a.test has exceeded the max emails per hour (200/200 (100%)) allowed.',
    'sending_quota_exceeded',
    'account',
  ],
  ['smtp', 'dot', '554 Rejected: maximum number of messages per hour exceeded', 'sending_quota_exceeded', 'account'],
  ['smtp', 'dot', '554 5.7.1 You have exceeded your messaging limits.', 'sending_quota_exceeded', 'account'],
  [
    'smtp',
    'dot',
    '554 The limit on the number of allowed outgoing messages was exceeded',
    'sending_quota_exceeded',
    'account',
  ],
  ['smtp', 'dot', '550 5.7.1 Daily message limit exceeded', 'sending_quota_exceeded', 'account'],
  ['smtp', 'mail', '550 5.7.1 Sender rate limit exceeded', 'smtp_rate_limited', 'server'],
  ['smtp', 'rcpt', '550 5.7.1 Rate limit exceeded', 'smtp_rate_limited', 'server'],
  ['smtp', 'mail', '421 4.7.28 Gmail has detected an unusual rate of email', 'smtp_rate_limited', 'server'],
  ['smtp', 'dot', '552 5.3.4 Message too large, the limit is 35 MB per message', 'message_too_large', 'message'],
  ['smtp', 'rcpt', '550 5.7.10 The recipient requires TLS', 'recipient_rejected', 'recipient'],
  [
    'smtp',
    'rcpt',
    '554 5.7.1 Service unavailable; Client host [203.0.113.7] blocked using zen.spamhaus.org',
    'smtp_relay_denied',
    'server',
  ],
  ['smtp', 'dot', '501 5.5.4 Syntax error', 'smtp_protocol_error', 'message'],
  ['smtp', 'mail', '432 4.3.2 Concurrent connections limit exceeded.', 'smtp_concurrency_limited', 'account'],
  [
    'smtp',
    'auth',
    '550 5.2.1 Mailbox cannot be accessed [AM0PR01CA0001.eurprd01.prod.exchangelabs.com]',
    'mailbox_not_accessible',
    'account',
  ],
  ['smtp', '', 'Invalid login: 535 5.7.8 Error: authentication failed', 'smtp_auth_rejected'],
]

const cases = rows.map(([stage, step, reply, flag, scope]) => ({ stage, step, reply, flag, scope }))

it.each(cases)('at $stage $step, $reply means $flag', ({ stage, step, reply, flag, scope }) => {
  const verdict = classify({ provider: 'generic', stage, step, reply, ...(stage === 'token' && { httpStatus: 400 }) })
  expect(verdict).toMatchObject({ flag, ...(scope && { scope }) })
})

it.each<[Stage, string, string, string]>([
  ['pop3', 'dns', 'ENOTFOUND', 'dns_failure'],
  ['smtp', 'dns', 'EAI_AGAIN', 'dns_failure'],
  ['pop3', 'connect', 'ECONNREFUSED', 'server_unreachable'],
  ['smtp', 'connect', 'EHOSTUNREACH', 'smtp_unreachable'],
  ['token', 'connect', 'ENETUNREACH', 'token_endpoint_unreachable'],
  ['pop3', 'connect', 'ETIMEDOUT', 'connect_timeout'],
  ['smtp', 'connect', 'ETIMEDOUT', 'smtp_unreachable'],
  ['smtp', 'auth', 'ETIMEDOUT', 'connection_lost'],
  ['pop3', 'retr', 'ETIMEDOUT', 'pop3_connection_lost'],
  ['token', 'http', 'ETIMEDOUT', 'token_endpoint_unavailable'],
  ['pop3', 'stat', 'ECONNRESET', 'pop3_connection_lost'],
  ['smtp', 'data', 'EPIPE', 'connection_lost'],
  ['smtp', 'tls', 'CERT_HAS_EXPIRED', 'tls_certificate_untrusted'],
  ['pop3', 'tls', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'tls_certificate_untrusted'],
  ['token', 'tls', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'tls_certificate_untrusted'],
  ['smtp', 'tls', 'EPROTO', 'wrong_tls_mode'],
  ['smtp', 'tls', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'wrong_tls_mode'],
  ['pop3', 'tls', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'tls_version_unsupported'],
  ['smtp', 'egress', 'EGRESS_REFUSED', 'egress_refused'],
  ['pop3', 'connect', 'PLAINTEXT_REFUSED', 'plaintext_refused'],
  ['token', 'http', 'HTTPS_REQUIRED', 'token_url_invalid'],
  ['smtp', 'starttls', 'STARTTLS_NOT_OFFERED', 'starttls_missing'],
  ['smtp', 'ehlo', 'EPROTOCOL', 'server_speaks_garbage'],
  ['pop3', 'tls', 'STARTTLS_INJECTION', 'server_speaks_garbage'],
  ['token', 'refresh_token', 'CREDENTIAL_MISSING', 'stored_token_corrupt'],
  ['token', 'http', 'RESPONSE_TOO_LARGE', 'token_response_invalid'],
])('at %s %s, %s means %s', (stage, step, errorCode, flag) => {
  const reply =
    errorCode === 'STARTTLS_NOT_OFFERED' ? 'the server does not offer STARTTLS: 250 mail.example.com' : 'it failed'
  expect(classify({ provider: 'generic', stage, step, errorCode, reply }).flag).toBe(flag)
})

it.each<[number, string, string]>([
  [429, '', 'token_endpoint_throttled'],
  [502, '<html><h1>Bad Gateway</h1></html>', 'token_endpoint_unavailable'],
  [302, 'HTTP 302 without a body, redirect to https://portal.example/', 'token_url_invalid'],
  [200, '<!DOCTYPE html><title>Sign in to the guest network</title>', 'token_response_invalid'],
  [200, '{"access_token":', 'token_response_invalid'],
  [403, '<html>blocked by the proxy</html>', 'token_response_invalid'],
  [404, '<html>Not Found</html>', 'token_url_invalid'],
])('a token endpoint that answers %d %s means %s', (httpStatus, reply, flag) => {
  expect(classify({ provider: 'generic', stage: 'token', httpStatus, reply }).flag).toBe(flag)
})
