// `poststelle outbox show`: one message with its recipients, its attempts, what its trouble means and what to do about it.

import type { Command } from 'commander'
import { UserError } from '../base/failure.ts'
import { outboxDetailJson } from '../contract/outbox.ts'
import { loadOutboxMessage, type DeliveryAttempt, type OutboxDetail } from '../db/outbox.ts'
import { explain } from '../failures/catalogue.ts'
import type { Language } from '../health/verdict.ts'
import { minute } from './inbox-entry.ts'
import { positive } from './inbox-options.ts'
import type { CommandContext } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { etaWords, outcomeWords, phaseWords, recipientWords, say, stateWords } from './outbox-words.ts'
import { printableLine, printableText } from './printable.ts'
import { answer, JSON_FLAG, table, withInstallation, type JsonOption } from './run.ts'

interface ShowOptions extends JsonOption, LanguageOption {
  readonly transcripts?: true
}

export function addOutboxShowCommand(outbox: Command, ctx: CommandContext): void {
  const command = outbox
    .command('show')
    .argument('<id>', 'id of a message', positive)
    .description('one message: its recipients, its attempts, what its trouble means and what to do')
    .option('--transcripts', 'the dialogue of every attempt, not of the last one only')
    .option(...JSON_FLAG)
  addLanguageOption(command).action((id: number, options: ShowOptions) =>
    withInstallation(ctx, async ({ db, clock }) => {
      const message = await loadOutboxMessage(db, id)
      if (!message) throw new UserError(`there is no message ${id}; "poststelle outbox list" shows what is there`)
      answer(ctx, options, outboxDetailJson(message), () =>
        detailText(message, {
          language: chosenLanguage(options),
          now: clock.now(),
          width: Math.max(ctx.terminal.columns, 80),
          transcripts: options.transcripts ?? false,
        }),
      )
    }),
  )
}

interface View {
  readonly language: Language
  readonly now: Date
  readonly width: number
  readonly transcripts: boolean
}

function detailText(message: OutboxDetail, view: View): string {
  const sections = [
    factsText(message, view),
    recipientsText(message, view),
    attemptsText(message.deliveryAttempts, view),
    causesText(message, view),
    message.state === 'uncertain' ? uncertainText(message, view) : '',
  ]
  return sections.filter((text) => text !== '').join('\n')
}

function factsText(message: OutboxDetail, { language, now }: View): string {
  const eta = etaWords(message.eta, now, language)
  const state = stateWords(message.state, message.holdReason, language)
  const facts: [german: string, english: string, value: string | null][] = [
    ['Nachricht', 'message', String(message.id)],
    ['Konto', 'account', message.account],
    ['Absender', 'from', message.envelopeFrom === '' ? '<>' : message.envelopeFrom],
    ['Betreff', 'subject', message.subject],
    ['Zustand', 'state', eta === '' ? state : `${state}, ${eta}`],
    ['Antwort', 'reply', message.lastReply],
    ['angenommen', 'accepted', minute(message.createdAt)],
    ['fertig', 'finished', message.finishedAt && minute(message.finishedAt)],
    ['Frist', 'expires', message.finishedAt ? null : minute(message.expiresAt)],
    ['Versuche', 'attempts', String(message.attempts)],
    [
      'wiederholt',
      'repeated',
      message.repeated ? say(['ja: kann doppelt ankommen', 'yes: may arrive twice'], language) : null,
    ],
    ['Message-ID', 'message-id', message.messageId],
    ['Schlüssel', 'key', message.idempotencyKey],
    ['Priorität', 'priority', message.priority === 0 ? null : String(message.priority)],
    ['Größe', 'size', message.sizeBytes === null ? null : `${message.sizeBytes} B`],
  ]
  return facts
    .filter(([, , value]) => value !== null && value !== '')
    .map(([german, english, value]) => `${say([german, english], language).padEnd(12)} ${printableLine(value ?? '')}\n`)
    .join('')
}

function recipientsText({ recipients }: OutboxDetail, { language, width }: View): string {
  const rows = recipients.map((r) => [
    '',
    printableLine(r.address, 60),
    recipientWords(r.state, language),
    printableLine(r.flag ?? '', 40),
    printableLine(r.reply ?? '', 500),
  ])
  return `${say(['Empfänger', 'recipients'], language)}\n${table(rows, width)}`
}

function attemptsText(attempts: readonly DeliveryAttempt[], view: View): string {
  const { language } = view
  if (attempts.length === 0) return say(['Noch kein Versuch\n', 'no attempt yet\n'], language)
  const head = say(['Versuche (UTC)', 'attempts (UTC)'], language)
  const lines = attempts.map((attempt, i) => {
    const step = attempt.step ? ` (${printableLine(attempt.step, 40)})` : ''
    const line = [
      `  ${attempt.number}. ${attempt.startedAt.toISOString().slice(0, 19).replace('T', ' ')}`,
      `${phaseWords(attempt.phase, language)}${step}`,
      outcomeWords(attempt.outcome, language),
      printableLine(attempt.reply ?? '', 500),
    ]
    const shown = view.transcripts || i === attempts.length - 1
    const transcript = shown && attempt.transcript ? indented(printableText(attempt.transcript), 6) : ''
    return `${line
      .filter((cell) => cell !== '')
      .join(' · ')
      .slice(0, view.width)}\n${transcript}`
  })
  return `${head}\n${lines.join('')}`
}

const indented = (text: string, by: number): string =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => `${' '.repeat(by)}${line}\n`)
    .join('')

/** The causes of its trouble, each once: of the message, of its recipients, and of its account where that holds it up. */
function causesText(message: OutboxDetail, { language }: View): string {
  const ofAccount = message.holdReason === 'account_blocked' ? message.accountFlags.map(({ flag }) => flag) : []
  const own = [message.lastFlag, ...message.recipients.map(({ flag }) => flag)]
  const open = !['sent', 'cancelled'].includes(message.state)
  const causes = [...new Set([...ofAccount, ...(open ? own : [])])].filter((flag) => flag !== null)
  return causes
    .map((flag) => {
      const text = explain(flag, language)
      const steps = text.steps.map((step, i) => `  ${i + 1}. ${step}\n`).join('')
      const who = say(['Zuständig', 'Who acts'], language)
      return `${text.label} [${printableLine(flag, 60)}]\n${text.meaning}\n${who}: ${text.actor}\n${steps}${text.link ? `${text.link}\n` : ''}`
    })
    .join('\n')
}

function uncertainText({ id, nextAttemptAt }: OutboxDetail, { language }: View): string {
  const next = nextAttemptAt
    ? say(['Sie wird von selbst noch einmal gesendet.', 'It is sent once more by itself.'], language)
    : say(['Von selbst geschieht nichts mehr.', 'Nothing happens by itself any more.'], language)
  return say(
    [
      `Die Verbindung brach ab, als die Nachricht schon beim Server sein konnte. ${next}
  poststelle outbox resolve ${id} --sent      gilt als übergeben
  poststelle outbox resolve ${id} --resend    erneut senden, kann doppelt ankommen
`,
      `The connection broke when the server may have had the message already. ${next}
  poststelle outbox resolve ${id} --sent      take it as handed over
  poststelle outbox resolve ${id} --resend    send it again, it may arrive twice
`,
    ],
    language,
  )
}
