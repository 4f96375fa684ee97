// The first line of every status: one of four verdicts, the same in the command, the page and the tools. Pure.

export const LANGUAGES = ['de', 'en'] as const
export type Language = (typeof LANGUAGES)[number]

export interface Lamps {
  readonly receive: { readonly state: string } | null
  readonly send: { readonly state: string } | null
  readonly flags: readonly unknown[]
}

export type Verdict =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'blocked'; readonly accounts: number }
  | { readonly kind: 'notes'; readonly accounts: number }
  | { readonly kind: 'well' }

export function judge(accounts: readonly Lamps[], workerAlive: boolean): Verdict {
  if (!workerAlive) return { kind: 'stopped' }
  const having = (...states: string[]) =>
    accounts.filter((a) => [a.receive?.state, a.send?.state].some((state) => state && states.includes(state)))
  const blocked = having('blocked').length
  if (blocked > 0) return { kind: 'blocked', accounts: blocked }
  const noted = new Set([...having('failing', 'late'), ...accounts.filter(({ flags }) => flags.length > 0)]).size
  return noted > 0 ? { kind: 'notes', accounts: noted } : { kind: 'well' }
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
    case 'blocked':
      if (verdict.accounts === 1) return german ? '1 Konto braucht Sie.' : '1 account needs you.'
      return german ? `${verdict.accounts} Konten brauchen Sie.` : `${verdict.accounts} accounts need you.`
    case 'notes':
      if (verdict.accounts === 1) return german ? 'Läuft, mit 1 Hinweis.' : 'Running, with 1 note.'
      return german ? `Läuft, mit ${verdict.accounts} Hinweisen.` : `Running, with ${verdict.accounts} notes.`
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
