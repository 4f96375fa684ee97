// Stored messages as operators look at them: lists, one message with all that is known of it, acknowledging, parsing again.

import { sql, type RawBuilder } from 'kysely'
import type { Db, DbOrTx } from './database.ts'
import type { MessageKind, Tables } from './schema.ts'

export type ParseState = 'pending' | 'parsed' | 'quarantined'

export interface InboxFilter {
  readonly accountId?: number | undefined
  readonly since?: Date | undefined
  readonly search?: string | undefined
  readonly state?: ParseState | undefined
  readonly unacknowledged?: boolean | undefined
  /** What stands in the sender's address or name from the beginning of a word on. */
  readonly from?: string | undefined
  /** Likewise, in the recipients. */
  readonly to?: string | undefined
  /** Likewise. */
  readonly subject?: string | undefined
  /** Why it could not be read. */
  readonly reason?: string | undefined
  readonly hasAttachment?: boolean | undefined
  readonly messageId?: string | undefined
  /** In bytes. */
  readonly largerThan?: number | undefined
  readonly before?: Date | undefined
  /** Only the headers are here. */
  readonly incomplete?: boolean | undefined
}

export interface InboxEntry {
  readonly id: number
  readonly account: string
  readonly receivedAt: Date
  readonly dateAt: Date | null
  readonly fromAddress: string | null
  readonly fromName: string | null
  readonly subject: string | null
  readonly sizeBytes: number
  /** False: these are the headers only. */
  readonly complete: boolean
  readonly acknowledgedAt: Date | null
  readonly parseState: ParseState
  readonly kind: MessageKind | null
  readonly position: number | null
  readonly attachmentCount: number
}

/** Excluded words are looked up by themselves: what one language's stemming spares, another's would let in again. */
export function splitSearch(words: string): { wanted: string; unwanted: string } {
  const unwanted: string[] = []
  const wanted = words.replace(/(?<=^|\s)-("[^"]*"|[^\s"]+)/g, (_, word: string) => {
    unwanted.push(word)
    return ' '
  })
  return { wanted: wanted.trim(), unwanted: unwanted.join(' or ') }
}

/** In German, in English, and as the words stand: any of them will do. */
const query = (words: string): RawBuilder<unknown> => sql`(websearch_to_tsquery('german', ${words})
  || websearch_to_tsquery('english', ${words}) || websearch_to_tsquery('simple', ${words}))`

/** For a query on messages m, accounts a and, left joined, message_contents c. */
export function inboxConditions(filter: InboxFilter): RawBuilder<unknown> {
  const parts = [plainConditions(filter)]
  const texts = fieldConditions(filter)
  if (texts) parts.push(texts)
  const looked = indexed(filter)
  // as an array, so that it is found by the index: on the way through the newest messages every text would be unpacked
  if (looked) parts.push(sql`m.id = any(array(select s.message_id from poststelle.message_contents s where ${looked}))`)
  return sql.join(parts, sql` and `)
}

/** Whatever is not a text. */
function plainConditions(filter: InboxFilter): RawBuilder<unknown> {
  const parts = [sql`true`]
  if (filter.accountId !== undefined) parts.push(sql`m.account_id = ${filter.accountId}`)
  if (filter.since) parts.push(sql`m.received_at >= ${filter.since}`)
  if (filter.unacknowledged) parts.push(sql`m.acknowledged_at is null`)
  if (filter.state) parts.push(filter.state === 'pending' ? sql`c.message_id is null` : sql`c.state = ${filter.state}`)
  if (filter.reason !== undefined) parts.push(sql`c.reason = ${filter.reason}`)
  if (filter.incomplete) parts.push(sql`not m.complete`)
  if (filter.before) parts.push(sql`m.received_at < ${filter.before}`)
  if (filter.messageId !== undefined)
    parts.push(sql`m.internet_message_id = any(${[filter.messageId, `<${filter.messageId}>`]}::text[])`)
  if (filter.largerThan !== undefined) parts.push(sql`m.size_bytes > ${filter.largerThan}`)
  if (filter.hasAttachment !== undefined)
    parts.push(
      sql`${filter.hasAttachment ? sql`` : sql`not`} exists (select from poststelle.attachments t where t.message_id = m.id)`,
    )
  return sql.join(parts, sql` and `)
}

/** Each field with the columns of messages m that it looks at. */
const FIELDS = {
  from: [sql`m.from_address`, sql`m.from_name`],
  to: [sql`m.to_addresses`],
  subject: [sql`m.subject`],
} as const
const fieldNames = ['from', 'to', 'subject'] as const

/** From the beginning of a word on, where the text begins with one. */
const pattern = (text: string): string =>
  `${/^[\p{L}\p{N}]/u.test(text) ? '(^|[^[:alnum:]])' : ''}${text.replace(/[^\p{L}\p{N}\s]/gu, '\\$&')}`

/** On messages m; undefined: there are none. */
function fieldConditions(filter: InboxFilter): RawBuilder<unknown> | undefined {
  const parts = fieldNames.flatMap((name) => {
    const text = filter[name]
    if (text === undefined) return []
    return [
      sql`(${sql.join(
        FIELDS[name].map((column) => sql`${column} ~* ${pattern(text)}`),
        sql` or `,
      )})`,
    ]
  })
  return parts.length === 0 ? undefined : sql.join(parts, sql` and `)
}

/** On message_contents s, by its index; undefined: there are none. All that has one of the fields is in it, and more. */
function indexed(filter: InboxFilter): RawBuilder<unknown> | undefined {
  const parts = fieldNames.flatMap((name) => {
    const text = filter[name]
    return text !== undefined && /[\p{L}\p{N}]/u.test(text)
      ? [sql`s.search @@ poststelle.field_query(${name}, ${text})`]
      : []
  })
  if (filter.search !== undefined) parts.push(searched(filter.search))
  return parts.length === 0 ? undefined : sql.join(parts, sql` and `)
}

/** On message_contents s. */
function searched(words: string): RawBuilder<unknown> {
  const { wanted, unwanted } = splitSearch(words)
  const found = [
    ...(wanted === '' ? [] : [sql`s.search @@ ${query(wanted)}`]),
    ...(unwanted === '' ? [] : [sql`not s.search @@ ${query(unwanted)}`]),
  ]
  return sql`(${sql.join(found, sql` and `)})`
}

/** So many of the newest messages are looked through by themselves before a text is looked up. */
const LOOKED_THROUGH = 2_000

/**
 * Newest first; `afterId`: only older ones. A word that every other message has is found among the newest at once, where the index would
 * first gather all its messages; a rare one is not among them, and the index has few.
 */
export async function listInbox(
  db: DbOrTx,
  filter: InboxFilter,
  page: { limit: number; afterId?: number | undefined },
): Promise<InboxEntry[]> {
  const after = page.afterId === undefined ? sql`true` : sql`m.id < ${page.afterId}`
  const fields = fieldConditions(filter)
  if (filter.search !== undefined || fields) {
    const texts = [...(fields ? [fields] : []), ...(filter.search === undefined ? [] : [searched(filter.search)])]
    const { rows: newest } = await sql<{ id: number; found: boolean }>`
      select w.id, coalesce(${sql.join(texts, sql` and `)}, false) as found from (
        select m.id from poststelle.messages m join poststelle.accounts a on a.id = m.account_id
          left join poststelle.message_contents c on c.message_id = m.id
        where ${plainConditions(filter)} and ${after} order by m.id desc limit ${LOOKED_THROUGH}) w
      join poststelle.messages m on m.id = w.id
      left join poststelle.message_contents s on s.message_id = w.id order by w.id desc`.execute(db)
    const found = newest.filter((row) => row.found).map(({ id }) => id)
    if (found.length >= page.limit || newest.length < LOOKED_THROUGH)
      return await entries(db, sql`m.id = any(${found}::bigint[])`, page.limit)
  }
  return await entries(db, sql`${inboxConditions(filter)} and ${after}`, page.limit)
}

async function entries(db: DbOrTx, condition: RawBuilder<unknown>, limit: number): Promise<InboxEntry[]> {
  const { rows } = await sql<InboxEntry>`
    select m.id, a.email as account, m.received_at as "receivedAt", m.date_at as "dateAt", m.from_address as "fromAddress",
      m.from_name as "fromName", m.subject, m.size_bytes as "sizeBytes", m.complete, m.acknowledged_at as "acknowledgedAt",
      coalesce(c.state, 'pending') as "parseState", c.kind, c.position,
      (select count(*) from poststelle.attachments t where t.message_id = m.id) as "attachmentCount"
    from poststelle.messages m join poststelle.accounts a on a.id = m.account_id
      left join poststelle.message_contents c on c.message_id = m.id
    where ${condition} order by m.id desc limit ${limit}`.execute(db)
  return rows
}

export interface ThreadEntry {
  readonly id: number
  readonly receivedAt: Date
  readonly fromAddress: string | null
  readonly subject: string | null
}

export interface MessageDetail extends InboxEntry {
  readonly accountId: number
  readonly toAddresses: string | null
  readonly messageId: string | null
  readonly sha256: string
  readonly parseReason: string | null
  readonly parseNotes: readonly string[]
  readonly threadId: string | null
  readonly inReplyTo: string | null
  readonly referenceIds: readonly string[]
  readonly bodyText: string | null
  readonly bodyHtml: string | null
  readonly attachments: readonly {
    ordinal: number
    name: string
    contentType: string
    disposition: Tables['attachments']['disposition']
    contentId: string | null
    sizeBytes: number
    sha256: string
  }[]
  readonly deliveryReports: readonly {
    action: Tables['delivery_reports']['action']
    recipient: string
    status: string | null
    diagnostic: string | null
    reportingMta: string | null
    originalMessageId: string | null
    outboundMessageId: number | null
  }[]
  /** The newest others of its conversation in this account, oldest first. */
  readonly thread: readonly ThreadEntry[]
}

const THREAD_LIMIT = 20

export async function loadMessage(db: Db, id: number): Promise<MessageDetail | undefined> {
  const { rows } = await sql<Omit<MessageDetail, 'attachments' | 'deliveryReports' | 'thread'>>`
    select i.id, i.account, i.account_id as "accountId", i.received_at as "receivedAt", i.date_at as "dateAt",
      i.from_address as "fromAddress", i.from_name as "fromName", i.to_addresses as "toAddresses", i.subject,
      i.message_id as "messageId", i.size_bytes as "sizeBytes", i.sha256, i.complete, i.acknowledged_at as "acknowledgedAt",
      i.parse_state as "parseState", i.parse_reason as "parseReason", coalesce(i.parse_notes, '{}') as "parseNotes", i.kind,
      i.position, i.thread_id as "threadId", i.in_reply_to as "inReplyTo", coalesce(i.reference_ids, '{}') as "referenceIds",
      i.body_text as "bodyText", i.body_html as "bodyHtml", i.attachment_count as "attachmentCount"
    from poststelle.inbox i where i.id = ${id}`.execute(db)
  const [message] = rows
  if (!message) return undefined
  const attachments = await sql<MessageDetail['attachments'][number]>`
    select ordinal, name, content_type as "contentType", disposition, content_id as "contentId", size_bytes as "sizeBytes", sha256
    from poststelle.inbox_attachments where message_id = ${id} order by ordinal`.execute(db)
  const reports = await sql<MessageDetail['deliveryReports'][number]>`
    select action, recipient, status, diagnostic, reporting_mta as "reportingMta", original_message_id as "originalMessageId",
      outbound_message_id as "outboundMessageId"
    from poststelle.inbox_delivery_reports where message_id = ${id} order by ordinal`.execute(db)
  const thread = await sql<ThreadEntry>`
    select m.id, m.received_at as "receivedAt", m.from_address as "fromAddress", m.subject
    from poststelle.message_contents c join poststelle.messages m on m.id = c.message_id
    where c.account_id = ${message.accountId} and c.thread_id = ${message.threadId} and m.id <> ${id}
    order by m.id desc limit ${THREAD_LIMIT}`.execute(db)
  return {
    ...message,
    attachments: attachments.rows,
    deliveryReports: reports.rows,
    thread: thread.rows.toReversed(),
  }
}

/** All of them or, where one is not there, none: returns the missing ids, else whether each was acknowledged only now. */
export async function acknowledge(
  db: Db,
  ids: readonly number[],
): Promise<{ missing: number[] } | { acknowledged: { id: number; fresh: boolean }[] }> {
  return await db.transaction().execute(async (tx) => {
    const known = await sql<{ id: number }>`
      select m.id from poststelle.messages m where m.id = any(${ids}::bigint[]) order by m.id for no key update`.execute(
      tx,
    )
    const there = new Set(known.rows.map(({ id }) => id))
    const missing = ids.filter((id) => !there.has(id))
    if (missing.length > 0) return { missing }
    const { rows } = await sql<{ id: number; fresh: boolean }>`
      select k.id, poststelle.ack_inbound(k.id) as fresh from unnest(${ids}::bigint[]) k (id)`.execute(tx)
    return { acknowledged: rows }
  })
}

const ACK_BATCH = 5_000

/** Everything of the account that the feed had shown up to that position. */
export async function acknowledgeUpTo(
  db: Db,
  accountId: number,
  position: number,
): Promise<{ fresh: number; before: number }> {
  const total = { fresh: 0, before: 0 }
  for (let last: number | null = 0; last !== null;) {
    const batch = await acknowledgeBatch(db, accountId, last, position)
    total.fresh += batch.fresh
    total.before += batch.seen - batch.fresh
    last = batch.last
  }
  return total
}

async function acknowledgeBatch(
  db: Db,
  accountId: number,
  from: number,
  to: number,
): Promise<{ seen: number; fresh: number; last: number | null }> {
  const { rows } = await sql<{ seen: number; fresh: number; last: number | null }>`
    with batch as (
      select c.message_id, c.position from poststelle.message_contents c
      where c.account_id = ${accountId} and c.position > ${from} and c.position <= ${to}
      order by c.position limit ${ACK_BATCH}
    ), done as materialized (select b.position, poststelle.ack_inbound(b.message_id) as fresh from batch b)
    select count(*) as seen, count(*) filter (where fresh) as fresh, max(position) as last from done`.execute(db)
  return rows[0] ?? { seen: 0, fresh: 0, last: null }
}
