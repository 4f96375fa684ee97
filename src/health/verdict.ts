// The first line of every status: one of four verdicts, the same in the command, the page and the tools. Pure.

import type { Language } from './phrases.ts'
import { counted } from './phrases.ts'

export { LANGUAGES, type Language } from './phrases.ts'

export interface Lamps {
  readonly receive: { readonly state: string } | null
  readonly send: { readonly state: string } | null
  readonly flags: readonly unknown[]
}

export type Verdict =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'blocked'; readonly accounts: number }
  | { readonly kind: 'notes'; readonly notes: number }
  | { readonly kind: 'well' }

const TROUBLE: ReadonlySet<string> = new Set(['blocked', 'failing', 'late'])

export const isBlocked = ({ receive, send }: Lamps): boolean =>
  receive?.state === 'blocked' || send?.state === 'blocked'

/** A lamp that should not be as it is, or a flag. */
export const isNoted = ({ receive, send, flags }: Lamps): boolean =>
  flags.length > 0 || [receive, send].some((lamp) => lamp && TROUBLE.has(lamp.state))

/** `accounts`: those with trouble of their own; `others`: how many notes there are beside them. */
export function judge(accounts: readonly Lamps[], workerAlive: boolean, others = 0): Verdict {
  if (!workerAlive) return { kind: 'stopped' }
  const blocked = accounts.filter(isBlocked).length
  if (blocked > 0) return { kind: 'blocked', accounts: blocked }
  const notes = accounts.filter(isNoted).length + others
  return notes > 0 ? { kind: 'notes', notes } : { kind: 'well' }
}

const WORST_FIRST = ['blocked', 'failing', 'late', 'new', 'ok', 'paused']

/** Accounts in trouble on top, otherwise in the order given. */
export function worstFirst<A extends Lamps>(accounts: readonly A[]): A[] {
  const rank = ({ receive, send }: A): number =>
    Math.min(
      ...[receive?.state, send?.state].map((s) => (s === undefined ? WORST_FIRST.length : WORST_FIRST.indexOf(s))),
    )
  return accounts.toSorted((a, b) => rank(a) - rank(b))
}

export function verdictText(verdict: Verdict, language: Language): string {
  const german = language === 'de'
  switch (verdict.kind) {
    case 'stopped':
      return german ? 'Der Dienst steht.' : 'The service has stopped.'
    case 'blocked': {
      const { accounts } = verdict
      return german
        ? `${counted(accounts, 'Konto braucht', 'Konten brauchen', language)} Sie.`
        : `${counted(accounts, 'account needs', 'accounts need', language)} you.`
    }
    case 'notes':
      return german
        ? `Läuft, mit ${counted(verdict.notes, 'Hinweis', 'Hinweisen', language)}.`
        : `Running, with ${counted(verdict.notes, 'note', 'notes', language)}.`
    case 'well':
      return german ? 'Alles läuft.' : 'All is well.'
  }
}

const STATES: Record<string, readonly [german: string, english: string]> = {
  new: ['Neu', 'New'],
  ok: ['In Ordnung', 'OK'],
  late: ['Verspätet', 'Late'],
  failing: ['Gestört', 'Failing'],
  blocked: ['Gesperrt', 'Blocked'],
  paused: ['Angehalten', 'Paused'],
}

export function stateText(state: string | undefined, language: Language): string {
  return STATES[state ?? '']?.[language === 'de' ? 0 : 1] ?? '–'
}
