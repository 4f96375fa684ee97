// `poststelle inbox show`: one message with all that is known of it, or one part of it as it is. What strangers wrote is made safe
// before it is printed; as it is it goes into a file or a pipe only.

import { Option, type Command } from 'commander'
import { UserError } from '../base/failure.ts'
import { inboxDetailJson } from '../contract/inbox.ts'
import type { Db } from '../db/database.ts'
import { loadMessage, type MessageDetail } from '../db/inbox.ts'
import { attachmentBytes, rawMessage } from '../db/message-bytes.ts'
import { minute } from './inbox-entry.ts'
import { noMessage, positive } from './inbox-options.ts'
import type { CommandContext } from './installation.ts'
import { writeNewFile } from './new-file.ts'
import { printableLine, printableText } from './printable.ts'
import { answer, JSON_FLAG, table, withInstallation, type JsonOption } from './run.ts'

interface ShowOptions extends JsonOption {
  readonly raw?: true
  readonly text?: true
  readonly html?: true
  readonly headers?: true
  readonly attachment?: number
  readonly output?: string
}

/** One part of a message. `text`: it may be printed once it is made safe; else it is bytes, which a terminal does not get. */
interface Part {
  readonly name: string
  readonly text: boolean
  readonly bytes: AsyncIterable<Buffer>
}

const PARTS = ['raw', 'text', 'html', 'headers', 'attachment'] as const
const MAX_HEADER_BYTES = 1024 * 1024

export function addInboxShowCommand(inbox: Command, ctx: CommandContext): void {
  const one = (flags: string, description: string): Option =>
    new Option(flags, description).conflicts([...PARTS.filter((part) => !flags.startsWith(`--${part}`)), 'json'])
  inbox
    .command('show')
    .argument('<id>', 'id of a message', positive)
    .description('one message: what is known of it, its text, its attachments; or one part of it')
    .addOption(one('--raw', 'its bytes exactly as the server sent them, into a file or a pipe'))
    .addOption(one('--text', 'its plain text'))
    .addOption(one('--html', 'its HTML, as source'))
    .addOption(one('--headers', 'its headers as they stand'))
    .addOption(one('--attachment <n>', 'the bytes of this attachment, into a file or a pipe').argParser(positive))
    .option('--output <file>', 'write that part into a new file, exactly as it is')
    .option(...JSON_FLAG)
    .action((id: number, options: ShowOptions) =>
      withInstallation(ctx, async ({ db }) => {
        const message = await loadMessage(db, id)
        if (!message) throw noMessage(id)
        const part = chosenPart(db, message, options)
        if (part) await deliver(ctx, part, options.output)
        else if (options.output === undefined)
          answer(ctx, options, inboxDetailJson(message), () => detailText(message, ctx.terminal.columns))
        else
          throw new UserError('--output needs --raw, --text, --html, --headers or --attachment: what to write', {
            exitCode: 2,
          })
      }),
    )
}

function chosenPart(db: Db, message: MessageDetail, options: ShowOptions): Part | undefined {
  const { id } = message
  if (options.raw) return { name: `message ${id}`, text: false, bytes: rawMessage(db, id) }
  if (options.headers) return { name: `the headers of message ${id}`, text: true, bytes: headers(rawMessage(db, id)) }
  if (options.text) return textPart(message, 'text', message.bodyText)
  if (options.html) return textPart(message, 'HTML', message.bodyHtml)
  if (options.attachment === undefined) return undefined
  const found = message.attachments.find(({ ordinal }) => ordinal === options.attachment)
  if (!found) {
    const count = message.attachments.length
    const has = count === 0 ? 'has no attachments' : `has the attachments 1 to ${count}`
    throw new UserError(`message ${id} ${has}, and none numbered ${options.attachment}${unparsed(message)}`)
  }
  return {
    name: `attachment ${found.ordinal} of message ${id}`,
    text: false,
    bytes: attachmentBytes(db, id, found.ordinal),
  }
}

function textPart(message: MessageDetail, kind: string, text: string | null): Part {
  if (text === null) throw new UserError(`message ${message.id} has no ${kind}${unparsed(message)}`)
  return { name: `the ${kind} of message ${message.id}`, text: true, bytes: once(Buffer.from(text)) }
}

const unparsed = ({ parseState }: MessageDetail): string =>
  ({ pending: '; it was not parsed yet', quarantined: '; it could not be parsed, --raw shows it', parsed: '' })[
    parseState
  ]

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

/** Up to the empty line. */
async function* headers(raw: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let head = ''
  for await (const piece of raw) {
    head += piece.toString('latin1')
    if (/^\r?\n|\n\r?\n/.test(head) || head.length > MAX_HEADER_BYTES) break
  }
  const [, block = head.slice(0, MAX_HEADER_BYTES)] = /^([^]*?\n|)\r?\n/.exec(head) ?? []
  yield Buffer.from(block, 'latin1')
}

async function deliver({ terminal }: CommandContext, part: Part, output: string | undefined): Promise<void> {
  if (output !== undefined) {
    const sizeBytes = await writeNewFile(output, part.bytes)
    terminal.out(`${part.name}: ${sizeBytes} bytes in ${output}\n`)
  } else if (part.text) {
    const pieces: Buffer[] = []
    for await (const piece of part.bytes) pieces.push(piece)
    const text = printableText(Buffer.concat(pieces).toString('utf8'))
    terminal.out(text.endsWith('\n') ? text : `${text}\n`)
  } else if (terminal.isTTY)
    throw new UserError(`${part.name} could do anything to a terminal; add --output FILE, or send it into a pipe`, {
      exitCode: 2,
    })
  else for await (const piece of part.bytes) await terminal.write(piece)
}

const KIND = {
  mail: 'mail',
  auto_reply: 'automatic reply',
  delivery_report: 'delivery report',
  disposition_report: 'report of reading',
  round_trip: 'round trip, sent by ourselves',
}

function detailText(message: MessageDetail, width: number): string {
  const from = [message.fromName, message.fromAddress && `<${message.fromAddress}>`].filter(Boolean).join(' ')
  const facts: [string, string | null][] = [
    ['message', String(message.id)],
    ['account', message.account],
    ['subject', message.subject],
    ['from', from],
    ['to', message.toAddresses],
    ['date', message.dateAt && minute(message.dateAt)],
    ['received', minute(message.receivedAt)],
    ['message-id', message.messageId],
    ['size', `${size(message.sizeBytes)}${message.complete ? '' : ', headers only: the rest is on the server'}`],
    ['kind', message.kind && KIND[message.kind]],
    ['state', parseText(message)],
    ...message.parseNotes.map((note): [string, string] => ['note', note]),
    ['position', message.position === null ? null : String(message.position)],
    ['acknowledged', message.acknowledgedAt ? minute(message.acknowledgedAt) : 'no'],
    ['in reply to', message.inReplyTo],
  ]
  const shown = facts.filter((fact): fact is [string, string] => fact[1] !== null && fact[1] !== '')
  const sections = [
    shown.map(([name, value]) => `${name.padEnd(13)} ${printableLine(value)}\n`).join(''),
    section('attachments', message.attachments, width, (a) => [
      String(a.ordinal),
      size(a.sizeBytes),
      printableLine(a.contentType, 60),
      printableLine(a.name),
    ]),
    section('delivery report', message.deliveryReports, width, (r) => [
      r.action,
      printableLine(r.recipient, 80),
      printableLine(r.status ?? '', 20),
      r.outboundMessageId === null ? '' : `sent from here as ${r.outboundMessageId}`,
      printableLine(r.diagnostic ?? '', 500),
    ]),
    section('conversation', message.thread, width, (t) => [
      String(t.id),
      minute(t.receivedAt),
      printableLine(t.fromAddress ?? '(no sender)', 40),
      printableLine(t.subject ?? '(no subject)', 300),
    ]),
  ]
  return sections.filter((text) => text !== '').join('\n') + bodyText(message)
}

function section<T>(name: string, rows: readonly T[], width: number, cells: (row: T) => string[]): string {
  return rows.length === 0
    ? ''
    : `${name}\n${table(
        rows.map((row) => ['', ...cells(row)]),
        Math.max(width, 80),
      )}`
}

const parseText = ({ parseState, parseReason }: MessageDetail): string =>
  ({
    pending: 'not parsed yet',
    parsed: 'parsed',
    quarantined: `quarantined: ${parseReason}; "inbox reparse" tries again, --raw shows the bytes`,
  })[parseState]

function bodyText({ bodyText: text, bodyHtml: html, parseState }: MessageDetail): string {
  if (text !== null) return `\n${printableText(text).trimEnd()}\n`
  if (html !== null) return '\nno plain text; --html shows its HTML\n'
  return parseState === 'parsed' ? '\nno text\n' : ''
}

/** "512 B", "1.5 KB", "20 MB" */
function size(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB']
  let value = bytes
  let unit = 0
  for (; value >= 1_000 && unit < units.length - 1; unit++) value /= 1_000
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}
