// The status for programs. The shape is a contract: docs/cli.md.

import type { AccountStatus, LampStatus, StatusReading } from '../db/status.ts'
import type { Overview } from '../health/overview.ts'
import type { Language } from '../health/phrases.ts'
import { incidentJson } from './incidents.ts'

export function statusJson(
  verdict: string,
  accounts: readonly AccountStatus[],
  hosts: StatusReading['hosts'],
  restored: StatusReading['restored'] = null,
): object {
  const lamp = (status: LampStatus | null) =>
    status && { state: status.state, since: status.since, last_ok_at: status.lastOkAt }
  return {
    verdict,
    accounts: accounts.map(({ id, email, label, receive, send, flags, waiting }) => ({
      id,
      email,
      label,
      receive: lamp(receive),
      send: lamp(send),
      flags: flags.map(({ flag, direction, since, evidence }) => ({ flag, direction, since, evidence })),
      waiting: { count: waiting.count, oldest_at: waiting.oldestAt },
    })),
    hosts: hosts.map(({ host, direction, kind, openedAt, openUntil, accounts: waiting, flag, evidence }) => ({
      host,
      direction,
      kind,
      since: openedAt,
      next_probe_at: openUntil,
      accounts: waiting,
      flag,
      evidence,
    })),
    restored: restored && { since: restored.fencedAt, reason: restored.reason, held: restored.held },
  }
}

export const fullStatusJson = (reading: StatusReading, overview: Overview, language: Language): object => ({
  ...statusJson(overview.verdict, reading.accounts, reading.hosts, reading.restored),
  facts: factsJson(reading, overview),
  alarm: overview.alarm,
  incidents: reading.incidents.map((incident) => incidentJson(incident, language)),
})

function factsJson({ mail }: StatusReading, { facts, figures }: Overview): object {
  return {
    texts: facts,
    accounts: figures.accounts,
    accounts_current: figures.current,
    since: figures.since,
    received: mail.received,
    handed_over: mail.handedOver,
    oldest_due_at: mail.oldestDueAt,
    stuck: mail.stuck,
    oldest_stuck_at: mail.oldestStuckAt,
    outbox: mail.open,
  }
}
