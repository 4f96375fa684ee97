// Which refusals count as a login refused: what repeated too often would lock an account. Pure.

import type { Failure } from '../base/failure.ts'

/** The server is busy, or wants us to come later: nothing was said about the credential. */
const NOT_NOW = new Set([
  'mailbox_in_use',
  'pop3_login_delay',
  'pop3_connection_limit',
  'pop3_server_unavailable',
  'pop3_connection_lost',
  'pop3_session_lost',
  'pop3_bandwidth_exceeded',
  'smtp_rate_limited',
  'smtp_concurrency_limited',
  'smtp_login_throttled',
])

/** What nobody knows counts: an account is not locked by our tries. */
export const isRefusedLogin = ({ step, verdict }: Failure): boolean =>
  step === 'auth' && verdict.scope !== 'network' && verdict.scope !== 'service' && !NOT_NOW.has(verdict.flag)
