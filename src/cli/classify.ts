// `poststelle classify`: names the cause of any pasted reply, and says who must do what.

import { Option, type Command } from 'commander'
import { PROVIDERS, STAGES, UserError, type Provider, type Stage } from '../base/failure.ts'
import { explain } from '../failures/catalogue.ts'
import { classify } from '../failures/classify.ts'
import type { CommandContext } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { answer, JSON_FLAG, type JsonOption } from './run.ts'

interface ClassifyOptions extends JsonOption, LanguageOption {
  readonly provider: Provider
  readonly stage: Stage
}

export function addClassifyCommand(program: Command, ctx: CommandContext): void {
  const command = program
    .command('classify')
    .description('read a refusal of a provider on standard input and name its cause')
    .addOption(new Option('--provider <provider>', 'who answered').choices([...PROVIDERS]).makeOptionMandatory())
    .addOption(new Option('--stage <stage>', 'which conversation it was in').choices([...STAGES]).makeOptionMandatory())
    .option(...JSON_FLAG)
  addLanguageOption(command).action(async (options: ClassifyOptions) => {
    const reply = (await ctx.terminal.stdin()).toString('utf8').trim()
    if (reply === '')
      throw new UserError('standard input: is empty; paste the reply of the server into it', { exitCode: 2 })
    const { flag, scope, persistence, blocks, retryAfterMs } = classify({
      provider: options.provider,
      stage: options.stage,
      reply,
    })
    const language = chosenLanguage(options)
    const text = explain(flag, language)
    const value = {
      flag,
      scope,
      persistence,
      blocks,
      ...(retryAfterMs !== undefined && { retry_after_seconds: retryAfterMs / 1000 }),
      ...text,
    }
    answer(ctx, options, value, () => {
      const steps = text.steps.map((step, i) => `  ${i + 1}. ${step}\n`).join('')
      const who = language === 'de' ? 'Zuständig' : 'Who acts'
      return `${text.label} [${flag}]\n${text.meaning}\n${who}: ${text.actor}\n${steps}${text.link ? `${text.link}\n` : ''}`
    })
  })
}
