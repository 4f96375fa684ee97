// How the demo tells what happens: a table that redraws itself in a terminal, plain lines elsewhere.

import type { AccountActivity } from '../db/activity.ts'
import type { AccountStatus } from '../db/status.ts'
import { explain } from '../failures/catalogue.ts'
import { stateText } from '../health/verdict.ts'
import type { Terminal } from './installation.ts'
import { statusJson } from '../contract/status.ts'
import { table } from './run.ts'

interface Seen {
  stored: number
  handedOver: number
  refreshedAt: number
  flags: Set<string>
}

const CLEAR = '\u001b[H\u001b[J'

export class DemoView {
  readonly #terminal: Terminal
  readonly #json: boolean
  readonly #seen = new Map<number, Seen>()
  #headline = ''
  #refreshes = 0

  constructor(terminal: Terminal, json: boolean) {
    this.#terminal = terminal
    this.#json = json
  }

  begin(about: { url: string; dataFolder: string; seconds: number }): void {
    this.#headline =
      `Poststelle demo, up after ${about.seconds.toFixed(1)} s. Open in a browser: ${about.url}\n` +
      `Everything here is simulated and stays on this machine; data in ${about.dataFolder}. Ctrl-C ends it.\n`
    if (this.#json)
      this.#terminal.out(
        `${JSON.stringify({ event: 'started', url: about.url, data_folder: about.dataFolder, seconds: about.seconds })}\n`,
      )
    else this.#terminal.out(this.#terminal.isTTY ? `${CLEAR}${this.#headline}` : this.#headline)
  }

  show(statuses: readonly AccountStatus[], activity: ReadonlyMap<number, AccountActivity>, now: Date): void {
    const lines = statuses.flatMap((status) => this.#changes(status, activity.get(status.id)))
    const clock = now.toISOString().slice(11, 19)
    if (this.#json) {
      if (lines.length > 0)
        this.#terminal.out(
          `${JSON.stringify({ event: 'changed', at: now, changes: lines, ...statusJson('', statuses, []) })}\n`,
        )
    } else if (this.#terminal.isTTY) this.#terminal.out(CLEAR + this.#headline + this.#table(statuses, activity))
    else for (const line of lines) this.#terminal.out(`${clock}  ${line}\n`)
  }

  end(): void {
    if (!this.#json) this.#terminal.out(`\nStopped; nothing is left running. ${this.#summary()}\n`)
  }

  #changes(status: AccountStatus, activity: AccountActivity | undefined): string[] {
    const seen = this.#seen.get(status.id) ?? { stored: 0, handedOver: 0, refreshedAt: 0, flags: new Set() }
    this.#seen.set(status.id, seen)
    const lines: string[] = []
    const { stored = 0, handedOver = 0, tokenRefreshedAt = null } = activity ?? {}
    if (stored > seen.stored) lines.push(`mail stored: ${stored - seen.stored}`)
    if (handedOver > seen.handedOver) lines.push(`mail handed over: ${handedOver - seen.handedOver}`)
    if (tokenRefreshedAt && tokenRefreshedAt.getTime() > seen.refreshedAt) {
      this.#refreshes += 1
      lines.push('token refreshed')
    }
    const flags = new Set(status.flags.map(({ flag, direction }) => `${direction} ${flag}`))
    for (const { flag, direction } of status.flags) {
      if (!seen.flags.has(`${direction} ${flag}`))
        lines.push(`flagged (${direction}): ${explain(flag, 'en').label} [${flag}]`)
    }
    for (const known of seen.flags) if (!flags.has(known)) lines.push(`cleared: ${known}`)
    Object.assign(seen, { stored, handedOver, refreshedAt: tokenRefreshedAt?.getTime() ?? seen.refreshedAt, flags })
    return lines.map((line) => `${status.email.padEnd(28)} ${line}`)
  }

  #table(statuses: readonly AccountStatus[], activity: ReadonlyMap<number, AccountActivity>): string {
    const rows = statuses.map((status) => {
      const { stored = 0, handedOver = 0, tokenRefreshedAt = null } = activity.get(status.id) ?? {}
      const causes = [...new Set(status.flags.map(({ flag }) => explain(flag, 'en').label))]
      return [
        status.email,
        stateText(status.receive?.state, 'en'),
        stateText(status.send?.state, 'en'),
        String(stored),
        String(handedOver),
        String(status.waiting.count),
        tokenRefreshedAt ? tokenRefreshedAt.toISOString().slice(11, 19) : '–',
        causes.join(', '),
      ]
    })
    const head = ['ACCOUNT', 'RECEIVE', 'SEND', 'STORED', 'HANDED OVER', 'WAITING', 'TOKEN AT', 'CAUSE']
    return `\n${table([head, ...rows], this.#terminal.columns)}\n${this.#summary()}\n`
  }

  #summary(): string {
    const all = [...this.#seen.values()]
    const sum = (pick: (seen: Seen) => number) => all.reduce((total, seen) => total + pick(seen), 0)
    const flagged = all.filter(({ flags }) => flags.size > 0).length
    return `${sum((s) => s.stored)} mails stored, ${sum((s) => s.handedOver)} handed over, ${this.#refreshes} token refreshes, ${flagged} accounts flagged.`
  }
}
