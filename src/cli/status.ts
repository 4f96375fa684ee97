// `poststelle status`: the verdict first, then the accounts, those in trouble on top.

import type { Command } from 'commander'
import { listHostBreakers } from '../db/host-breakers.ts'
import { heldAfterRestore } from '../db/installation.ts'
import { accountStatuses, type AccountStatus, type LampStatus } from '../db/status.ts'
import { livingWorkers } from '../db/worker-session.ts'
import { explain } from '../failures/catalogue.ts'
import { judge, stateText, verdictText, worstFirst, type Language } from '../health/verdict.ts'
import type { CommandContext } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { age, answer, JSON_FLAG, table, withInstallation, type JsonOption } from './run.ts'

export function addStatusCommand(program: Command, ctx: CommandContext): void {
  const command = program
    .command('status')
    .description('is all well, and if not: what, since when, who must act')
    .option(...JSON_FLAG)
  addLanguageOption(command).action((options: JsonOption & LanguageOption) =>
    withInstallation(ctx, async ({ db, clock }) => {
      const accounts = await accountStatuses(db)
      const hosts = await listHostBreakers(db)
      const restored = await heldAfterRestore(db)
      const workers = await livingWorkers(db)
      const language = chosenLanguage(options)
      const verdict = verdictText(
        judge(
          accounts,
          workers.some((worker) => worker.roles.includes('worker')),
        ),
        language,
      )
      answer(ctx, options, statusJson(verdict, accounts, hosts, restored), () => {
        const now = clock.now()
        const text = statusText(verdict, accounts, language, now, ctx.terminal.columns)
        return [text, hostsText(hosts, language, now), restoredText(restored, language, now)].filter(Boolean).join('\n')
      })
    }),
  )
}

/** The shape is a contract: docs/cli.md. */
export function statusJson(
  verdict: string,
  accounts: readonly AccountStatus[],
  hosts: readonly WaitingHost[],
  restored: HeldAfterRestore = null,
): object {
  const lamp = (status: LampStatus | null) =>
    status && { state: status.state, since: status.since, last_ok_at: status.lastOkAt }
  return {
    verdict,
    accounts: accounts.map(({ id, email, label, receive, send, flags, waiting }) => ({
      id,
      email,
      label,
      receive: lamp(receive),
      send: lamp(send),
      flags: flags.map(({ flag, direction, since, evidence }) => ({ flag, direction, since, evidence })),
      waiting: { count: waiting.count, oldest_at: waiting.oldestAt },
    })),
    hosts: hosts.map(({ host, direction, kind, openedAt, openUntil, accounts: waiting, flag, evidence }) => ({
      host,
      direction,
      kind,
      since: openedAt,
      next_probe_at: openUntil,
      accounts: waiting,
      flag,
      evidence,
    })),
    restored: restored && { since: restored.fencedAt, reason: restored.reason, held: restored.held },
  }
}

type WaitingHost = Awaited<ReturnType<typeof listHostBreakers>>[number]
type HeldAfterRestore = Awaited<ReturnType<typeof heldAfterRestore>>

/** One line per host for which all its accounts wait. */
function hostsText(hosts: readonly WaitingHost[], language: Language, now: Date): string {
  return hosts
    .map(({ host, accounts, flag, openedAt, openUntil }) => {
      const label = explain(flag, language).label
      const next = Math.max(0, Math.ceil((openUntil.getTime() - now.getTime()) / 60_000))
      return language === 'de'
        ? `${host}: ${accounts} Konten warten seit ${age(openedAt, now)}, nächster Versuch in ${next} min: ${label} [${flag}]\n`
        : `${host}: ${accounts} accounts wait since ${age(openedAt, now)}, next try in ${next} min: ${label} [${flag}]\n`
    })
    .join('')
}

/** Nothing of it goes out by itself: the line says what to do. */
function restoredText(restored: HeldAfterRestore, language: Language, now: Date): string {
  if (!restored) return ''
  const { held, fencedAt } = restored
  const list = 'poststelle outbox list --reason after_restore'
  return language === 'de'
    ? `Die Datenbank wurde vor ${age(fencedAt, now)} wiederhergestellt: ${held} ${held === 1 ? 'Nachricht ist' : 'Nachrichten sind'} angehalten und vielleicht schon gesendet. Prüfen: "${list}", dann freigeben (outbox release) oder stornieren (outbox cancel).\n`
    : `The database was restored ${age(fencedAt, now)} ago: ${held} ${held === 1 ? 'message is' : 'messages are'} held and may have been sent already. Review: "${list}", then outbox release or outbox cancel.\n`
}

function statusText(
  verdict: string,
  accounts: readonly AccountStatus[],
  language: Language,
  now: Date,
  width: number,
): string {
  const german = language === 'de'
  if (accounts.length === 0)
    return `${verdict}\n${german ? 'Noch keine Konten' : 'No accounts yet'}: poststelle account import FILE\n`
  const head = german
    ? ['KONTO', 'EMPFANG', 'VERSAND', 'WARTET', 'URSACHE']
    : ['ACCOUNT', 'RECEIVE', 'SEND', 'WAITING', 'CAUSE']
  const lamp = (status: LampStatus | null) =>
    status ? `${stateText(status.state, language)} (${age(status.since, now)})` : '–'
  const rows = worstFirst(accounts).map(({ email, receive, send, flags, waiting }) => [
    email,
    lamp(receive),
    lamp(send),
    waiting.oldestAt ? `${waiting.count} (${age(waiting.oldestAt, now)})` : '0',
    [...new Set(flags.map(({ flag }) => flag))].map((flag) => `${explain(flag, language).label} [${flag}]`).join(', '),
  ])
  return `${verdict}\n\n${table([head, ...rows], Math.max(width, 80))}`
}
