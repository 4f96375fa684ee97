// One account with all that its page shows.

import { createHash } from 'node:crypto'
import { accountCardJson, type AccountDetailJson } from '../contract/accounts.ts'
import { isoOrNull } from '../contract/basics.ts'
import { grantFingerprint } from '../credentials/fingerprint.ts'
import { loadAccountView, loadCard, type PausedBy } from '../db/account-views.ts'
import { loadAccount } from '../db/accounts.ts'
import { loadGrant } from '../db/grants.ts'
import { loadMaildrop } from '../db/maildrops.ts'
import { explain } from '../failures/catalogue.ts'
import type { Language } from '../health/phrases.ts'
import { SecretUnreadable } from '../secrets/vault.ts'
import type { ApiContext } from './context.ts'

export async function accountDetailOf(
  { db, vault }: ApiContext,
  id: number,
  language: Language,
): Promise<AccountDetailJson | undefined> {
  const [card, account, view, maildrop, grant] = await Promise.all([
    loadCard(db, id),
    loadAccount(db, id),
    loadAccountView(db, id),
    loadMaildrop(db, id),
    loadGrant(db, id),
  ])
  if (!card || !account || !view || !maildrop) return undefined
  const { auth, pop3, smtp, sending } = account
  const { policy } = maildrop
  const cardJson = accountCardJson(card, (flag) => explain(flag, language).label)
  const settings = {
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
    uncertain_policy: account.uncertainPolicy,
    sending: {
      connections: sending.connections,
      messages_per_minute: sending.messagesPerMinute,
      recipients_per_day: sending.recipientsPerDay,
      recipients_per_message: sending.recipientsPerMessage,
    },
  }
  const oauth = auth.type === 'oauth2' ? auth : undefined
  const authJson = {
    type: auth.type,
    flow: oauth?.flow ?? null,
    scope: oauth?.scope ?? null,
    username: oauth?.username ?? null,
    token_endpoint: oauth?.client.tokenEndpoint ?? null,
    client_id: oauth?.client.clientId ?? null,
  }
  return {
    ...cardJson,
    flags: cardJson.flags.map((flag) => {
      const { meaning, actor, steps, link } = explain(flag.flag, language)
      return { ...flag, meaning, actor, steps: [...steps], link }
    }),
    is_default: account.isDefault,
    pop3,
    smtp,
    auth: authJson,
    settings,
    lanes: view.lanes.map((lane) => ({
      lane: lane.lane,
      due_at: isoOrNull(lane.dueAt),
      parked_until: isoOrNull(lane.parkedUntil),
      working: lane.working ?? false,
      rests_until: isoOrNull(lane.restsUntil),
      rests_for: lane.restsFor,
    })),
    maildrop: view.maildrop && {
      messages: view.maildrop.listedCount,
      bytes: view.maildrop.listedSizeBytes,
      guard: view.maildrop.guard,
    },
    credential: {
      fingerprint: fingerprint(() => grantFingerprint(vault, grant)),
      granted_at: isoOrNull(view.grant?.grantedAt ?? null),
      granted_by: view.grant?.grantedBy ?? null,
      refreshed_at: isoOrNull(view.grant?.refreshedAt ?? null),
      access_expires_at: isoOrNull(view.grant?.accessExpiresAt ?? null),
      refresh_expires_at: isoOrNull(view.grant?.refreshExpiresAt ?? null),
    },
    paused: { receive: pausedJson(view.paused.receive), send: pausedJson(view.paused.send) },
    stored: view.stored,
    stored_24h: view.stored24h,
    etag: createHash('sha256')
      .update(JSON.stringify([account.label, account.isDefault, pop3, smtp, authJson, settings]))
      .digest('base64url')
      .slice(0, 22),
  }
}

const pausedJson = (paused: PausedBy | null): AccountDetailJson['paused']['send'] =>
  paused && { by: paused.by, reason: paused.reason, at: isoOrNull(paused.at) }

/** What cannot be opened is flagged elsewhere; its page is shown all the same. */
function fingerprint(read: () => string | null): string | null {
  try {
    return read()
  } catch (error) {
    if (error instanceof SecretUnreadable) return null
    throw error
  }
}
