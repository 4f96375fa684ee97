// Scripted misbehaviour: what a simulated server does at one step of a dialogue instead of, or around, its usual answer.

import type { LineSocket } from './line-socket.ts'

export interface Act {
  readonly delayMs?: number
  /** Said instead of the usual reply; the command then has no effect. CRLF is added. */
  readonly reply?: string
  /** The same, byte for byte: garbage, lines without end, half a reply. */
  readonly bytes?: Buffer
  /** Nothing more is said until the client goes. */
  readonly hang?: true
  /** before-effect: as if the command never arrived. before-reply: it was carried out, and nobody tells the client. */
  readonly cut?: 'before-effect' | 'before-reply' | 'after-reply'
  /** The connection ends after so many bytes of the reply. */
  readonly cutAfterBytes?: number
  /** The reply comes byte by byte, so far apart. */
  readonly dripMs?: number
  /** Only for command lines that match. */
  readonly match?: RegExp
  /** How often; for ever where not given. */
  readonly times?: number
}

/** Acts by step, used up in the order in which they were added. */
export class Script<Step extends string> {
  #entries: { step: Step; act: Act; left: number }[] = []

  on(step: Step, act: Act): this {
    this.#entries.push({ step, act, left: act.times ?? Infinity })
    return this
  }

  clear(step?: Step): void {
    this.#entries = step === undefined ? [] : this.#entries.filter((entry) => entry.step !== step)
  }

  next(step: Step, line: string): Act | undefined {
    const entry = this.#entries.find((e) => e.step === step && e.left > 0 && (e.act.match?.test(line) ?? true))
    if (entry === undefined) return undefined
    entry.left -= 1
    return entry.act
  }
}

/** Answers one step. `usual` carries the command out and returns the reply without its last CRLF, or whole as bytes. */
export async function perform(
  socket: LineSocket,
  act: Act | undefined,
  usual: () => string | Buffer | Promise<string | Buffer>,
): Promise<void> {
  if (act?.delayMs !== undefined) await socket.delay(act.delayMs)
  if (act?.hang) return socket.untilClosed()
  if (act?.cut === 'before-effect') return socket.reset()
  const answer = act?.bytes ?? act?.reply ?? (await usual())
  if (act?.cut === 'before-reply') return socket.reset()
  const bytes = typeof answer === 'string' ? Buffer.from(`${answer}\r\n`) : answer
  const sent = act?.cutAfterBytes === undefined ? bytes : bytes.subarray(0, act.cutAfterBytes)
  await (act?.dripMs === undefined ? socket.send(sent) : socket.drip(sent, act.dripMs))
  if (act?.cut === 'after-reply' || act?.cutAfterBytes !== undefined) socket.hangUp()
}
