// One change of many messages: batch by batch in the order of the ids, each batch a transaction of its own. What was done is known
// exactly, also where it was stopped or broke off.

import type { Db } from '../db/database.ts'
import { CHANGE_BATCH, changeMessages, type Change, type ChangeResult, type Refusal } from '../db/outbox-changes.ts'
import type { Language } from '../health/verdict.ts'
import type { Terminal } from './installation.ts'
import { doneWords, messages, refusalWords } from './outbox-words.ts'
import { plural } from './run.ts'

export interface BulkOutcome {
  readonly changed: readonly number[]
  /** By reason, the most frequent first. */
  readonly refused: readonly { readonly reason: Refusal; readonly ids: readonly number[] }[]
  /** Not tried: the run was stopped, or broke off. */
  readonly left: number
  /** Why it broke off. */
  readonly error?: unknown
}

/** Ctrl-C ends it behind the batch that is under way. */
export async function changeInBatches(
  terminal: Terminal,
  db: Db,
  change: Change,
  ids: readonly number[],
): Promise<BulkOutcome> {
  const stop = new AbortController()
  void terminal.stopSignal().then(() => stop.abort())
  const progress = new Progress(terminal, ids.length)
  const results: ChangeResult[] = []
  let error: unknown
  try {
    for (let at = 0; at < ids.length && !stop.signal.aborted; at += CHANGE_BATCH) {
      results.push(...(await changeMessages(db, change, ids.slice(at, at + CHANGE_BATCH))))
      progress.say(results.length)
    }
  } catch (failure) {
    error = failure
  }
  progress.end()
  return {
    changed: results.flatMap(({ id, refusal }) => (refusal === undefined ? [id] : [])),
    refused: [...Map.groupBy(results, ({ refusal }) => refusal)]
      .flatMap(([reason, of]) => (reason === undefined ? [] : [{ reason, ids: of.map(({ id }) => id) }]))
      .toSorted((a, b) => b.ids.length - a.ids.length),
    left: ids.length - results.length,
    ...(error !== undefined && { error }),
  }
}

/** The shape is a contract: docs/cli.md. */
export const outcomeJson = (change: Change, { changed, refused, left }: BulkOutcome): object => ({
  change,
  changed: changed.length,
  changed_ids: changed,
  refused: refused.map(({ reason, ids }) => ({ reason, count: ids.length, ids })),
  left,
})

const IDS_SHOWN = 10

export function outcomeText(change: Change, { changed, refused, left }: BulkOutcome, language: Language): string {
  const some = (ids: readonly number[]): string =>
    ids.slice(0, IDS_SHOWN).join(', ') + (ids.length > IDS_SHOWN ? ', …' : '')
  return [
    `${messages(changed.length, language)} ${doneWords(change, language)}`,
    ...refused.map(({ reason, ids }) => {
      const head = language === 'de' ? `${ids.length} verweigert` : `${ids.length} refused`
      return `${head}: ${refusalWords(reason, language)} (${some(ids)})`
    }),
    ...(left > 0 ? [language === 'de' ? `${left} übrig, nicht angefasst` : `${left} left, not touched`] : []),
  ]
    .map((line) => `${line}\n`)
    .join('')
}

/** In English, as every error. */
export function shortfall({ changed, refused, left }: BulkOutcome): string | undefined {
  const no = refused.reduce((sum, { ids }) => sum + ids.length, 0)
  const total = plural(changed.length + no + left, 'message', 'messages')
  if (left > 0) return `stopped: of ${total} ${changed.length} changed, ${no} refused, ${left} left`
  return no > 0 ? `${no} of ${total} refused` : undefined
}

const BAR = 24
const LINE_MS = 2_000

/** A bar on a terminal; elsewhere a line now and then. Nothing where one batch is all. */
class Progress {
  readonly #terminal: Terminal
  readonly #total: number
  #saidAt = -Infinity

  constructor(terminal: Terminal, total: number) {
    this.#terminal = terminal
    this.#total = total
  }

  say(done: number): void {
    if (this.#total <= CHANGE_BATCH) return
    const { errIsTTY } = this.#terminal
    if (!errIsTTY && performance.now() - this.#saidAt < LINE_MS) return
    this.#saidAt = performance.now()
    const filled = Math.floor((BAR * done) / this.#total)
    const text = `${done}/${this.#total}`
    this.#terminal.err(errIsTTY ? `\r[${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}] ${text}` : `${text}\n`)
  }

  end(): void {
    if (this.#terminal.errIsTTY && this.#saidAt > 0) this.#terminal.err('\r\u001b[K')
  }
}
