// Delivery reports, as rows: which recipient, what became of the mail, and which message it was. Reads RFC 3464 first, and where a
// server writes for people only, the shapes of Exchange, Gmail, Postfix, qmail and Exim.

import { addressIn, enhancedCode, readProse } from './dsn-prose.ts'
import { messageIds, type Fields } from './fields.ts'

export type ReportAction = 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded'

export interface ReportRow {
  readonly action: ReportAction
  readonly recipient: string
  /** Enhanced status code, RFC 3463. */
  readonly status: string | null
  readonly diagnostic: string | null
  readonly reportingMta: string | null
  readonly originalMessageId: string | null
}

export interface ReportFacts {
  readonly fields: Fields
  /** The parameter report-type of a multipart/report. */
  readonly reportType: string
  /** Texts of the message/delivery-status parts. */
  readonly statuses: readonly string[]
  /** Header of the message that was returned, where one is attached. */
  readonly original: Fields | undefined
  readonly text: string | null
}

const MAX_ROWS = 1_000
const TEXT_CHARS = 4_000
const HOST_CHARS = 255
const LOOKED_AT_CHARS = 128 * 1024

/** Undefined where the message is no delivery report. An empty list: it is one, and names nobody. */
export function readDeliveryReport(facts: ReportFacts): readonly ReportRow[] | undefined {
  const text = (facts.text ?? '').slice(0, LOOKED_AT_CHARS)
  const originalMessageId = originalId(facts, text)
  const rows = facts.statuses.flatMap((status) => readStatus(status, originalMessageId))
  if (rows.length > 0) return rows.slice(0, MAX_ROWS)
  if (facts.reportType !== 'delivery-status' && facts.statuses.length === 0 && !looksLikeReport(facts, text))
    return undefined
  const action: ReportAction = DELAY.test(`${facts.fields.text('subject')}\n${text.slice(0, 600)}`)
    ? 'delayed'
    : 'failed'
  const reportingMta = reportingHost(facts.fields, text)
  return readProse(failedRecipients(facts.fields), text)
    .slice(0, MAX_ROWS)
    .map((row) => ({ ...row, action, diagnostic: shorten(row.diagnostic), reportingMta, originalMessageId }))
}

/** RFC 3464 section 2: one group of fields for the message, then one for each recipient. Some servers forget the empty lines. */
function readStatus(text: string, originalMessageId: string | null): ReportRow[] {
  const groups: Map<string, string>[] = [new Map()]
  for (const { name, value, first } of statusFields(text)) {
    const group = groups.at(-1)
    // a group ends at an empty line, or where a field comes that it has already
    if (group && !first && !group.has(name)) group.set(name, value)
    else if (group?.size === 0) group.set(name, value)
    else groups.push(new Map([[name, value]]))
  }
  const perMessage = groups[0]
  const reportingMta = typed(perMessage?.get('reporting-mta'))
  const envelopeId = messageIds([perMessage?.get('x-original-message-id') ?? ''])[0]
  return groups.flatMap((group) => {
    const recipient =
      addressIn(typed(group.get('original-recipient'))) ?? addressIn(typed(group.get('final-recipient')))
    if (recipient === undefined) return []
    const diagnostic = typed(group.get('diagnostic-code')) ?? typed(group.get('x-supplementary-info'))
    const status = enhancedCode(group.get('status')) ?? enhancedCode(diagnostic)
    return [
      {
        action: actionOf(group.get('action'), status),
        recipient,
        status,
        diagnostic: shorten(diagnostic ?? null),
        reportingMta: (reportingMta ?? typed(group.get('remote-mta')) ?? '').slice(0, HOST_CHARS) || null,
        originalMessageId: envelopeId ?? originalMessageId,
      },
    ]
  })
}

const printable = (text: string): string => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, ' ')

interface StatusField {
  readonly name: string
  readonly value: string
  /** The first behind an empty line. */
  readonly first: boolean
}

function statusFields(text: string): StatusField[] {
  const fields: { name: string; value: string; first: boolean }[] = []
  let first = true
  for (const line of printable(text.slice(0, LOOKED_AT_CHARS)).split(/\r\n|\n|\r/)) {
    const [, name, value] = /^([A-Za-z][A-Za-z0-9-]{1,60})\s*:(.*)$/.exec(line) ?? []
    const last = fields.at(-1)
    if (line.trim() === '') first = true
    else if (/^[ \t]/.test(line) && last && !first) last.value += ` ${line.trim()}`
    else if (name !== undefined) {
      fields.push({ name: name.toLowerCase(), value: (value ?? '').trim(), first })
      first = false
    }
  }
  return fields
}

/** `type; value`, RFC 3464 section 2.1.2. */
const typed = (value: string | undefined): string | undefined =>
  value === undefined
    ? undefined
    : value.replace(/^\s*(?:rfc822|dns|smtp|x-[\w-]{1,40}|utf-8|unknown|x400|local)\s*;\s*/i, '').trim() || undefined

function actionOf(value: string | undefined, status: string | null): ReportAction {
  const action = /^\s*(failed|delayed|delivered|relayed|expanded|failure)\b/i.exec(value ?? '')?.[1]?.toLowerCase()
  if (action === 'failure') return 'failed'
  if (action !== undefined) return action as ReportAction
  return status?.startsWith('4') ? 'delayed' : status?.startsWith('2') ? 'delivered' : 'failed'
}

const DELAY =
  /\b(?:delayed|delay|has not yet been delivered|not yet been delivered|still trying|will continue to (?:try|retry)|warning: (?:message|could not send)|verz[öo]ger|zustellung wird weiterhin|will be retried|delivery (?:is )?incomplete)\b|verzögert/i

const SENDER =
  /\b(?:mailer-daemon|mail(?:er)?-?daemon|postmaster|mail delivery (?:system|subsystem)|mail administrator|microsoftexchange[0-9a-f]*)\b/i
const SUBJECT =
  /^\s*(?:undeliver(?:able|ed)(?: mail)?\b|unzustellbar\b|delivery (?:status notification|report|failure|has failed|delayed)|delivery status|failure notice|mail delivery (?:failed|failure|system)|mail system error|returned mail|returned to sender|warning: (?:message|could not send)|message (?:delayed|delivery|not delivered)|nicht zustellbar|non remis|no se puede entregar|onbestelbaar|mail could not be delivered|nachricht konnte nicht zugestellt werden|delayed mail|status der zustellung|(?:un)?successful mail delivery report|not read:)/i
const PROSE =
  /\bthis is the (?:qmail-send program|mail(?: delivery)? system)|this message was created automatically by mail delivery software|i(?:'|’)m (?:sorry to have to inform you|afraid i wasn'?t able to deliver)|delivery has failed to these recipients|fehler bei der nachrichtenzustellung|your message (?:to .{1,300}|wasn.t|did not reach|could ?n.t be) (?:delivered|couldn.t be delivered|reach|some)|ihre nachricht an .{1,300} konnte nicht zugestellt|the following (?:address(?:es|\(es\))?|recipients?(?:\(s\))?) (?:failed|cannot be reached|had (?:permanent|transient))|(?:address not found|message not delivered|message blocked|recipient inbox full)\b|permanent fatal errors|could not be delivered to one or more/i

/** A machine wrote it, and its subject or its words say so: one sign may lie, people answer with such a subject as well. */
function looksLikeReport({ fields }: ReportFacts, text: string): boolean {
  if (fields.has('x-ms-exchange-message-is-ndr') || fields.has('x-failed-recipients')) return true
  const byDaemon = SENDER.test(`${fields.text('from')} ${fields.text('sender')}`)
  const unanswerable = /^<?\s*>?$/.test(fields.raw('return-path')?.trim() ?? '-')
  return (byDaemon || unanswerable) && (SUBJECT.test(fields.text('subject')) || PROSE.test(text.slice(0, 4_000)))
}

const failedRecipients = (fields: Fields): string[] =>
  fields.all('x-failed-recipients').flatMap((value) => value.split(',').flatMap((one) => addressIn(one) ?? []))

/** In the returned message; in what follows it in the text; or where Exchange and Gmail put it: as what the report answers. */
function originalId({ fields, original }: ReportFacts, text: string): string | null {
  const [attached] = messageIds(original?.all('message-id') ?? [])
  const [quoted] = messageIds([/^[> \t]*message-id\s*:\s*(<[^<>\s]{1,990}>)/im.exec(text)?.[1] ?? ''])
  return (
    attached ??
    quoted ??
    messageIds(fields.all('in-reply-to'))[0] ??
    messageIds(fields.all('references')).at(-1) ??
    null
  )
}

function reportingHost(fields: Fields, text: string): string | null {
  const named =
    /qmail-send program at ([\w.-]{1,250}\w)/.exec(text)?.[1] ??
    /(?:mail system at host|generating server:|generierender server:|the mail server)\s+([\w.-]{1,250}\w)/i.exec(
      text,
    )?.[1]
  return named ?? /@([\w.-]{1,250}\w)/.exec(fields.raw('from') ?? '')?.[1] ?? null
}

const shorten = (text: string | null): string | null =>
  text?.replace(/\s+/g, ' ').replaceAll('\0', '').toWellFormed().trim().slice(0, TEXT_CHARS) || null
