// `poststelle account reconcile` and `account uidl`: what the ledger proves, and the word that the renumbering guard waits for.

import type { Command } from 'commander'
import { Failure, UserError } from '../base/failure.ts'
import { findAccount } from '../db/accounts.ts'
import { lockLanes, wakeNow } from '../db/lanes.ts'
import { loadMaildrop } from '../db/maildrops.ts'
import type { LedgerCounts } from '../db/reconciliation.ts'
import { decideGuard } from '../db/renumbering.ts'
import type { Reconciliation } from '../retrieval/reconcile.ts'
import { asWorker } from '../db/as-worker.ts'
import type { CommandContext } from './installation.ts'
import { answer, JSON_FLAG, withInstallation, type JsonOption } from './run.ts'

export function addLedgerCommands(account: Command, ctx: CommandContext): void {
  account
    .command('reconcile')
    .argument('<account>', 'id or e-mail address')
    .description('compare the server with the ledger, change nothing, and say whether anything is missing')
    .option('--verify', 'read back every stored message and compare its hash')
    .option(...JSON_FLAG)
    .action((idOrEmail: string, options: JsonOption & { verify?: boolean }) =>
      withInstallation(ctx, async (installation) => {
        const found = await findAccount(installation.db, idOrEmail)
        const { reconcile } = await import('../retrieval/reconcile.ts')
        const shown = progress(ctx)
        const result = await asWorker(installation, (workerId) =>
          reconcile({ ...installation, workerId }, found, {
            verify: options.verify ?? false,
            onProgress: shown.update,
          }),
        )
          .catch((error: unknown) => {
            if (error instanceof Failure) throw new UserError(`${found.email}: ${error.flag}: ${error.evidence}`)
            throw error
          })
          .finally(shown.end)
        answer(ctx, options, toJson(found.email, result), () => text(found.email, result))
        const missing = result.gaps.filter(({ gap }) => gap !== 'waiting').length + (result.damaged?.length ?? 0)
        if (missing > 0) throw new UserError(`${found.email}: ${count(missing, 'message')} cannot be accounted for`)
      }),
    )
  account
    .command('uidl')
    .argument('<decision>', 'adopt: they are the same messages; reimport: retrieve everything as new mail')
    .argument('<account>', 'id or e-mail address')
    .description('decide about a mailbox whose messages all have new ids (flag uidl_reset)')
    .option(...JSON_FLAG)
    .action((decision: string, idOrEmail: string, options: JsonOption) => {
      if (decision !== 'adopt' && decision !== 'reimport')
        throw new UserError(`"${decision}" is no decision; it is "adopt" or "reimport"`, { exitCode: 2 })
      return withInstallation(ctx, async ({ db }) => {
        const found = await findAccount(db, idOrEmail)
        const figures = (await loadMaildrop(db, found.id))?.guardFigures ?? null
        await db.transaction().execute(async (tx) => {
          await lockLanes(tx, found.id)
          if (!(await decideGuard(tx, found.id, decision)))
            throw new UserError(`nothing has to be decided for ${found.email}: its messages have the ids they had`)
          await wakeNow(tx, found.id, ['receive'], { again: true })
        })
        answer(ctx, options, { account: found.email, decision, figures }, () =>
          decision === 'adopt'
            ? `${found.email}: what is stored already is kept under its new ids, the rest is retrieved; it begins now\n`
            : `${found.email}: all ${figures?.unknown ?? ''} unknown messages are retrieved as new mail; it begins now\n`,
        )
      })
    })
}

/** One line on standard error that is written over; nothing where nobody looks. */
function progress(ctx: CommandContext): { update: (checked: number, all: number) => void; end: () => void } {
  let written = false
  return {
    update: (checked, all) => {
      if (!ctx.terminal.isTTY) return
      written = true
      ctx.terminal.err(`\r${checked} of ${all} stored messages read back`)
    },
    end: () => {
      if (written) ctx.terminal.err('\r\u001b[K')
    },
  }
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`

const toJson = (email: string, { server, onServer, notOnServer, gaps, damaged }: Reconciliation) => ({
  account: email,
  server: { messages: server.messages, bytes: server.bytes, without_uidl: server.withoutUidl },
  on_server: onServer,
  not_on_server: notOnServer,
  gaps: gaps.map(({ sizeBytes, ...gap }) => ({ ...gap, size_bytes: sizeBytes })),
  ...(damaged && { damaged }),
})

const WORDS: Record<string, string> = {
  stored: 'stored',
  delete_intent: 'stored, being deleted',
  skipped: 'left there for a reason',
  quarantined: 'could not be retrieved or stored so far',
  listed: 'waiting to be retrieved',
  new: 'new since the last poll',
  deleted: 'deleted by us after they were stored',
  vanished: 'left the server before they were retrieved, not by us',
}

function text(email: string, { server, onServer, notOnServer, gaps, damaged }: Reconciliation): string {
  const part = (counts: LedgerCounts & { new?: number }): string[] =>
    Object.entries(counts)
      .filter(([, n]) => n > 0)
      .map(([state, n]) => `  ${String(n).padStart(8)}  ${WORDS[state] ?? state}`)
  const lost = gaps.filter(({ gap }) => gap !== 'waiting')
  const whole = lost.length === 0 && (damaged?.length ?? 0) === 0
  return [
    whole ? `${email}: nothing is missing.` : `${email}: something is missing.`,
    `On the server: ${count(server.messages, 'message')}`,
    ...(server.withoutUidl > 0
      ? [`  ${String(server.withoutUidl).padStart(8)}  without a UIDL: known by their bytes only`]
      : []),
    ...part(onServer),
    'Not on the server any more:',
    ...(part(notOnServer).length > 0 ? part(notOnServer) : ['         0  of those we know']),
    ...lost.slice(0, 20).map((gap) => `gap: ${gap.uidl} (${gap.sizeBytes} bytes): ${gap.reason}`),
    ...(lost.length > 20 ? [`and ${lost.length - 20} more; --json has all of them`] : []),
    ...(damaged ?? []).slice(0, 20).map(({ uidl }) => `damaged: ${uidl}: what is stored is not what was received`),
    ...(damaged
      ? [
          `read back: ${damaged.length === 0 ? 'every stored message is as it was received' : count(damaged.length, 'damaged message')}`,
        ]
      : []),
    '',
  ].join('\n')
}
