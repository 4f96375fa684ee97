// `poststelle account test`: the connection test, step by step as it goes, with what each failure means and who must do what.

import type { Command } from 'commander'
import { differences, outcomeOf, type StepReport, type TestOutcome } from '../accounts/probe-steps.ts'
import { UserError } from '../base/failure.ts'
import { findAccount, type Account } from '../db/accounts.ts'
import { listTests, type StoredTest } from '../db/account-tests.ts'
import { asWorker } from '../db/as-worker.ts'
import { differenceText, stepText, summary } from './account-test-words.ts'
import type { CommandContext, Installation } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { printableJson } from './printable.ts'
import { answer, JSON_FLAG, table, withInstallation, type JsonOption } from './run.ts'
import type { Language } from '../health/phrases.ts'

interface Options extends JsonOption, LanguageOption {
  readonly readOne?: boolean
  readonly roundTrip?: boolean
  readonly history?: boolean
  readonly report?: boolean
}

export function addTestCommand(account: Command, ctx: CommandContext): void {
  addLanguageOption(
    account
      .command('test')
      .argument('<account>', 'id or e-mail address')
      .description('test the connection step by step; one login in each direction at most')
      .option('--read-one', 'also read the head of the newest message')
      .option(
        '--round-trip',
        'also send a message from the account to itself and see it arrive; the service has to run',
      )
      .option('--history', 'list the tests of this account instead')
      .option('--report', 'print a report to forward, without personal names, instead of the steps')
      .option(...JSON_FLAG),
  ).action(async (idOrEmail: string, options: Options) => {
    const outcome = await withInstallation(ctx, async (installation) => {
      const found = await findAccount(installation.db, idOrEmail)
      if (options.history) return await history(ctx, installation, found, options)
      return await test(ctx, installation, found, options)
    })
    if (outcome === 'failed') throw new UserError(`${idOrEmail}: the connection test failed`)
    if (outcome === 'incomplete')
      throw new UserError(`${idOrEmail}: the connection test is incomplete: no login was tried`, { exitCode: 3 })
  })
}

async function test(
  ctx: CommandContext,
  installation: Installation,
  found: Account,
  options: Options,
): Promise<TestOutcome> {
  const language = chosenLanguage(options)
  const [before] = await listTests(installation.db, found.id)
  const { probeAccount } = await import('../accounts/probe.ts')
  const steps: StepReport[] = []
  await asWorker(installation, async (workerId) => {
    const run = probeAccount({ ...installation, workerId }, found, {
      readOne: options.readOne ?? false,
      roundTrip: options.roundTrip ?? false,
    })
    for await (const step of run) {
      steps.push(step)
      if (options.json) ctx.terminal.out(`${printableJson(jsonOf(step))}\n`)
      else if (!options.report) ctx.terminal.out(stepText(step, language))
    }
  })
  const outcome = outcomeOf(steps)
  const changed = before ? differences(before.steps as StepReport[], steps) : []
  if (options.json)
    ctx.terminal.out(
      `${printableJson({
        account: found.email,
        outcome,
        failed: steps.filter(({ state }) => state === 'failed').map(({ step, side, flag }) => ({ step, side, flag })),
        changed: changed.map(({ step, was }) => ({
          step: step.step,
          side: step.side,
          was: was.state,
          now: step.state,
        })),
      })}\n`,
    )
  else if (options.report) ctx.terminal.out(reportText(found, steps, installation, language))
  else
    ctx.terminal.out(
      `${summary(found.email, steps, language)}${before ? differenceText(changed, before.at, language) : ''}`,
    )
  return outcome
}

const jsonOf = ({ nextTryAt, ...step }: StepReport): object => ({ ...step, next_try_at: nextTryAt })

async function history(
  ctx: CommandContext,
  { db }: Installation,
  found: Account,
  options: Options,
): Promise<TestOutcome> {
  const tests = await listTests(db, found.id)
  const language = chosenLanguage(options)
  answer(
    ctx,
    options,
    tests.map(({ at, outcome, steps }) => ({ at, outcome, steps: (steps as StepReport[]).map(jsonOf) })),
    () => {
      if (tests.length === 0) return language === 'de' ? 'noch kein Test\n' : 'no test yet\n'
      return table(
        tests.map((one) => historyRow(one, language)),
        ctx.terminal.columns,
      )
    },
  )
  return 'passed'
}

function historyRow({ at, outcome, steps }: StoredTest, language: Language): string[] {
  const failed = (steps as StepReport[]).filter(({ state }) => state === 'failed')
  return [
    at.toLocaleString(language === 'de' ? 'de-DE' : 'en-GB', { dateStyle: 'short', timeStyle: 'medium' }),
    { passed: '✔', failed: '✋', incomplete: '–' }[outcome],
    failed.map(({ step, side, flag }) => `${step}${side === null ? '' : ` ${side}`}: ${flag ?? ''}`).join(', '),
  ]
}

/** To be forwarded: names of people are left out, what servers said stays. */
function reportText(
  found: Account,
  steps: readonly StepReport[],
  { version, clock }: Installation,
  language: Language,
): string {
  const local = (found.email.split('@')[0] ?? '').replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const hidden = (text: string): string => text.replace(new RegExp(`${local}(?=@)`, 'gi'), '***')
  const head = [
    `Poststelle ${version}, ${clock.now().toISOString()}, account ${found.id} (${hidden(found.email)})`,
    ...(['pop3', 'smtp'] as const).map((side) => {
      const host = found[side]
      return `${side}: ${host ? `${host.host}:${host.port} ${host.security}` : 'none'}`
    }),
    `auth: ${found.auth.type === 'oauth2' ? `oauth2 ${found.auth.flow} at ${found.auth.client.tokenEndpoint}` : 'password'}`,
    '',
  ]
  return `${head.map((line) => `${line}\n`).join('')}${steps.map((step) => hidden(stepText(step, language))).join('')}`
}
