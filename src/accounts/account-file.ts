// An account as its file would say it, secrets included: what a change of some fields is laid over before it is checked and saved like
// any import. It never leaves the process.

import { openClientProof, openCredential } from '../credentials/sealed.ts'
import type { Account, MailHost } from '../db/accounts.ts'
import type { Grant } from '../db/grants.ts'
import type { Maildrop } from '../db/maildrops.ts'
import type { OAuthClient } from '../db/oauth-clients.ts'
import type { Vault } from '../secrets/vault.ts'

export type AccountFile = Record<string, unknown>

const host = (at: MailHost | null): object | null =>
  at && { host: at.host, port: at.port, security: at.security, username: at.username }

/** Throws UserError where a secret cannot be opened. */
export function accountFile(
  vault: Vault,
  { account, maildrop, grant }: { account: Account; maildrop: Maildrop | undefined; grant: Grant | undefined },
): AccountFile {
  const { sending, auth } = account
  const given = grant ? openCredential(vault, grant).given : {}
  const policy = maildrop?.policy
  return {
    email: account.email,
    label: account.label,
    default: account.isDefault,
    pop3: host(account.pop3),
    smtp: host(account.smtp),
    uncertain_policy: account.uncertainPolicy,
    sending: {
      connections: sending.connections,
      messages_per_minute: sending.messagesPerMinute,
      recipients_per_day: sending.recipientsPerDay,
      recipients_per_message: sending.recipientsPerMessage,
    },
    ...(policy && {
      poll_interval_seconds: policy.pollIntervalSeconds,
      poll_interval_max_seconds: policy.pollIntervalMaxSeconds,
      delete_after_days: policy.deleteAfterDays,
      delete_after_ack: policy.deleteAfterAck,
      first_sync: policy.firstSync,
      first_sync_days: policy.firstSyncDays,
      max_session_messages: policy.maxSessionMessages,
      max_session_bytes: policy.maxSessionBytes,
      max_message_bytes: policy.maxMessageBytes,
      freshness_minutes: policy.freshnessMinutes,
      canary_minutes: policy.canaryMinutes,
    }),
    auth:
      auth.type === 'password'
        ? { type: 'password', password: given.password }
        : {
            type: 'oauth2',
            flow: auth.flow,
            ...clientFields(vault, auth.client),
            scope: auth.scope,
            ...(auth.username !== null && { username: auth.username }),
            ...(given.password !== undefined && { password: given.password }),
            ...(given.refreshToken !== undefined && { refresh_token: given.refreshToken }),
          },
  }
}

/** The fields of `auth` that an app registration gives. */
export function clientFields(vault: Vault, client: OAuthClient): AccountFile {
  const proof = openClientProof(vault, client)
  return {
    token_endpoint: client.tokenEndpoint,
    client_id: client.clientId,
    ...(proof.kind === 'secret' && { client_secret: proof.secret }),
    ...(proof.kind === 'certificate' && {
      client_certificate: { certificate: proof.certificatePem, private_key: proof.privateKeyPem },
    }),
    ...(proof.kind === 'service_account' && {
      service_account_key: {
        client_email: proof.clientEmail,
        private_key_id: proof.keyId,
        private_key: proof.privateKeyPem,
      },
    }),
  }
}

/** Fields of `change` over those of `file`; objects field by field, null and everything else as it stands. */
export function laidOver(file: AccountFile, change: AccountFile): AccountFile {
  const result = { ...file }
  for (const [name, value] of Object.entries(change)) {
    const old = result[name]
    result[name] = isPlain(old) && isPlain(value) ? laidOver(old, value) : value
  }
  return result
}

const isPlain = (value: unknown): value is AccountFile =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
