// One time limit over several steps, joined with the caller's AbortSignal. Ended explicitly, so that nothing stays behind.

export interface Deadline {
  /** Aborts at the limit, or together with the caller's signal. */
  readonly signal: AbortSignal
  readonly timeoutMs: number
  /** Why `signal` aborted; undefined while it has not. */
  expired(): 'ABORT_ERR' | 'ETIMEDOUT' | undefined
  /** Must be called when the work is over: takes timer and listener away. */
  end(): void
}

export function deadline(timeoutMs: number, caller?: AbortSignal): Deadline {
  const controller = new AbortController()
  const abort = () => controller.abort()
  const timer = setTimeout(abort, timeoutMs)
  caller?.addEventListener('abort', abort, { once: true })
  if (caller?.aborted) abort()
  return {
    signal: controller.signal,
    timeoutMs,
    expired: () => (controller.signal.aborted ? (caller?.aborted ? 'ABORT_ERR' : 'ETIMEDOUT') : undefined),
    end: () => {
      clearTimeout(timer)
      caller?.removeEventListener('abort', abort)
    },
  }
}

/** For work that knows no AbortSignal: its late result is dropped. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new Error('aborted'))
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
