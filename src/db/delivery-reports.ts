// What delivery reports say, and which of our outbound messages they speak of: found by Message-ID, else by recipient and sender where
// only one message can be meant. What they mean for those messages is decided in the database, in the same transaction.

import type pg from 'pg'
import { copyRows } from './copy.ts'

export interface NewReport {
  readonly action: 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded'
  readonly recipient: string
  readonly status: string | null
  readonly diagnostic: string | null
  readonly reportingMta: string | null
  readonly originalMessageId: string | null
  /** Why the catalogue says that it failed; null where it does not know. */
  readonly flag: string | null
}

interface Meant {
  readonly messageId: number
  readonly ordinal: number | null
}

export async function saveReports(
  client: pg.ClientBase,
  accountId: number,
  batch: readonly { readonly id: number; readonly reports: readonly NewReport[] }[],
): Promise<void> {
  const all = batch.flatMap(({ id, reports }) => reports.map((report, i) => ({ id, ordinal: i + 1, report })))
  if (all.length === 0) return
  const rows = []
  for (const { id, ordinal, report } of all) {
    const meant = (await byMessageId(client, accountId, report)) ?? (await byRecipient(client, accountId, id, report))
    rows.push([
      { int8: id },
      { int4: ordinal },
      report.action,
      report.recipient,
      report.status,
      report.diagnostic,
      report.reportingMta,
      report.originalMessageId,
      meant ? { int8: meant.messageId } : null,
      typeof meant?.ordinal === 'number' ? { int4: meant.ordinal } : null,
      report.flag,
    ])
  }
  await copyRows(
    client,
    'poststelle.delivery_reports (message_id, ordinal, action, recipient, status, diagnostic, reporting_mta, original_message_id, outbound_message_id, outbound_ordinal, flag)',
    rows,
  )
  await client.query('select poststelle.apply_delivery_reports($1::bigint[])', [[...new Set(all.map(({ id }) => id))]])
}

/**
 * The report comes to the account that sent the mail, or to the one that the envelope names. A mail with one recipient is meant even
 * where the report names another address: the mail was forwarded.
 */
async function byMessageId(
  client: pg.ClientBase,
  accountId: number,
  { originalMessageId, recipient }: NewReport,
): Promise<Meant | undefined> {
  if (originalMessageId === null) return undefined
  const { rows } = await client.query<{ id: number; ordinal: number | null }>(
    `select m.id, coalesce(
       (select r.ordinal from poststelle.outbound_recipients r where r.message_id = m.id and lower(r.address) = lower($3)
         order by r.address <> $3, r.ordinal limit 1),
       (select min(r.ordinal) from poststelle.outbound_recipients r where r.message_id = m.id having count(*) = 1)) as ordinal
     from poststelle.outbound_messages m where m.internet_message_id = $1
       and (m.account_id = $2 or lower(m.envelope_from) = (select lower(a.email) from poststelle.accounts a where a.id = $2))
     order by 2 nulls last, m.id desc limit 1`,
    [originalMessageId, accountId, recipient],
  )
  const [row] = rows
  return row && { messageId: row.id, ordinal: row.ordinal }
}

/** The report goes to the envelope sender: it is the account itself, or stands in the report's To. */
async function byRecipient(
  client: pg.ClientBase,
  accountId: number,
  reportId: number,
  { recipient }: NewReport,
): Promise<Meant | undefined> {
  const { rows } = await client.query<{ id: number; ordinal: number }>(
    `select m.id, r.ordinal
     from poststelle.outbound_messages m join poststelle.outbound_recipients r on r.message_id = m.id
       join poststelle.accounts a on a.id = m.account_id join poststelle.messages report on report.id = $2
     where m.account_id = $1 and m.state in ('sent', 'partial', 'bounced') and m.finished_at > now() - interval '30 days'
       and lower(r.address) = lower($3)
       and (lower(m.envelope_from) = lower(a.email) or position(lower(m.envelope_from) in lower(report.to_addresses)) > 0)
     limit 2`,
    [accountId, reportId, recipient],
  )
  const [row] = rows
  return row && rows.length === 1 ? { messageId: row.id, ordinal: row.ordinal } : undefined
}
