// One logged-in connection per lane outlives its turn for a few seconds: the next message needs no handshake and no login.
// Of a process; a token that expires meanwhile does not end a connection that was let in with it.

import { SECOND_MS } from '../base/clock.ts'
import type { Submission } from '../smtp/submission.ts'

export const KEEP_MS = 10 * SECOND_MS

interface Kept {
  readonly submission: Submission
  /** What the connection was made for: other settings need another one. */
  readonly purpose: string
  readonly timer: NodeJS.Timeout
}

export class KeptConnections {
  readonly #kept = new Map<number, Kept>()
  #closed = false

  /** The kept connection of the account, if it still lives and is for the same purpose. The caller owns it then. */
  take(accountId: number, purpose: string): Submission | undefined {
    const kept = this.#forget(accountId)
    if (!kept) return undefined
    if (kept.purpose === purpose && kept.submission.usable) return kept.submission
    void kept.submission.quit()
    return undefined
  }

  /** Takes the connection over. Returns whether it is kept; otherwise it was closed. */
  keep(accountId: number, purpose: string, submission: Submission): boolean {
    void this.#forget(accountId)?.submission.quit()
    if (this.#closed || !submission.usable) {
      void submission.quit()
      return false
    }
    submission.obey(new AbortController().signal)
    const timer = setTimeout(() => {
      this.#kept.delete(accountId)
      void submission.quit()
    }, KEEP_MS)
    timer.unref()
    this.#kept.set(accountId, { submission, purpose, timer })
    return true
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#kept.keys()].map(async (accountId) => await this.#forget(accountId)?.submission.quit()))
  }

  #forget(accountId: number): Kept | undefined {
    const kept = this.#kept.get(accountId)
    if (!kept) return undefined
    this.#kept.delete(accountId)
    clearTimeout(kept.timer)
    return kept
  }
}
