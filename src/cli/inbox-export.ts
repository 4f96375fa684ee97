// `poststelle inbox export`: raw messages out of the database, into one mbox file or one file per message.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Option, type Command } from 'commander'
import { errorCode, UserError } from '../base/failure.ts'
import { exportMessages, type ExportedMessage } from '../db/message-bytes.ts'
import { MboxQuoter, mboxSeparator } from '../message/mbox.ts'
import { addFilterOptions, inboxFilter, type FilterOptions } from './inbox-options.ts'
import type { CommandContext, Terminal } from './installation.ts'
import { writeNewFile } from './new-file.ts'
import { answer, JSON_FLAG, withInstallation, type JsonOption } from './run.ts'

interface ExportOptions extends FilterOptions, JsonOption {
  readonly format: 'mbox' | 'eml'
  readonly output: string
}

const SLAB_BYTES = 256 * 1024
const PROGRESS_MS = 250
const LOST_SHOWN = 10

export function addInboxExportCommand(inbox: Command, ctx: CommandContext): void {
  addFilterOptions(inbox.command('export').description('write received mail into files, oldest first'))
    .addOption(
      new Option('--format <format>', 'mbox: one file; eml: a folder with one file per message, named after its id')
        .choices(['mbox', 'eml'])
        .makeOptionMandatory(),
    )
    .requiredOption('--output <path>', 'the new file (mbox), or the folder (eml); nothing is overwritten')
    .option(...JSON_FLAG)
    .action((options: ExportOptions) =>
      withInstallation(ctx, async ({ database, db, clock }) => {
        const { format, output } = options
        const filter = await inboxFilter(db, clock.now(), options)
        const progress = new Progress(ctx.terminal)
        const messages = progress.count(exportMessages(database, filter))
        try {
          if (format === 'mbox') progress.bytes = await writeNewFile(output, mbox(messages))
          else await writeFolder(output, messages, progress)
        } finally {
          progress.end()
        }
        const { written, bytes, lost } = progress
        if (lost.length > 0) throw incomplete(lost, written, output)
        answer(ctx, options, { format, output, messages: written, bytes }, () => `${progress.text()} in ${output}\n`)
      }),
    )
}

async function* mbox(messages: AsyncIterable<ExportedMessage>): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = []
  let bytes = 0
  const add = (piece: Buffer): void => {
    pieces.push(piece)
    bytes += piece.length
  }
  const slab = (): Buffer => {
    const whole = Buffer.concat(pieces, bytes)
    pieces = []
    bytes = 0
    return whole
  }
  for await (const { fromAddress, receivedAt, body } of messages) {
    const quoter = new MboxQuoter()
    add(mboxSeparator(fromAddress, receivedAt))
    for await (const piece of body) {
      add(quoter.push(piece))
      if (bytes >= SLAB_BYTES) yield slab()
    }
    add(quoter.end())
  }
  yield slab()
}

async function writeFolder(
  folder: string,
  messages: AsyncIterable<ExportedMessage>,
  progress: Progress,
): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw new UserError(`${folder}: cannot be made a folder (${errorCode(error)})`, { cause: error })
  })
  for await (const { id, body } of messages) progress.bytes += await writeNewFile(join(folder, `${id}.eml`), each(body))
}

async function* each(body: ExportedMessage['body']): AsyncGenerator<Buffer> {
  yield* body
}

const incomplete = (lost: readonly number[], written: number, output: string): UserError => {
  const more = lost.length > LOST_SHOWN ? ' ...' : ''
  return new UserError(
    `${lost.length} of ${written + lost.length} messages have no bytes here and are not in ${output}: ${lost.slice(0, LOST_SHOWN).join(', ')}${more}; the view ledger_gaps shows what is missing`,
  )
}

/** Counts what was exported, and says so on a terminal while it goes on. */
class Progress {
  readonly #terminal: Terminal
  readonly lost: number[] = []
  written = 0
  bytes = 0
  #saidAt = -Infinity
  #said = false

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  /** Passes on what has bytes. */
  async *count(messages: AsyncIterable<ExportedMessage>): AsyncGenerator<ExportedMessage> {
    for await (const message of messages) {
      if (message.lost) {
        this.lost.push(message.id)
        continue
      }
      yield message
      this.written++
      this.#say()
    }
  }

  text(): string {
    return `${this.written} ${this.written === 1 ? 'message' : 'messages'}`
  }

  end(): void {
    if (this.#said) this.#terminal.err('\r\u001b[K')
  }

  #say(): void {
    if (!this.#terminal.errIsTTY || performance.now() - this.#saidAt < PROGRESS_MS) return
    this.#saidAt = performance.now()
    this.#said = true
    this.#terminal.err(`\r${this.text()} ...`)
  }
}
