// `poststelle classify`: names the cause of any pasted reply, and says who must do what; or prints the whole catalogue.

import { Option, type Command } from 'commander'
import { PROVIDERS, STAGES, UserError, type Provider, type Stage } from '../base/failure.ts'
import { explained } from '../failures/explained.ts'
import { handbook } from '../failures/handbook.ts'
import type { CommandContext } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { answer, JSON_FLAG, type JsonOption } from './run.ts'

interface ClassifyOptions extends JsonOption, LanguageOption {
  readonly provider?: Provider
  readonly stage?: Stage
  readonly list?: boolean
}

export function addClassifyCommand(program: Command, ctx: CommandContext): void {
  const command = program
    .command('classify')
    .description('read a refusal of a provider on standard input and name its cause')
    .addOption(new Option('--provider <provider>', 'who answered (default: as the words tell)').choices([...PROVIDERS]))
    .addOption(new Option('--stage <stage>', 'in which conversation (default: as the words tell)').choices([...STAGES]))
    .option('--list', 'print the whole catalogue as Markdown instead')
    .option(...JSON_FLAG)
  addLanguageOption(command).action(async (options: ClassifyOptions) => {
    const language = chosenLanguage(options)
    if (options.list) return ctx.terminal.out(handbook(language))
    const reply = (await ctx.terminal.stdin()).toString('utf8').trim()
    if (reply === '')
      throw new UserError('standard input: is empty; paste the reply of the server into it', { exitCode: 2 })
    const cause = explained({ reply, provider: options.provider, stage: options.stage }, language)
    answer(ctx, options, cause, () => {
      const steps = cause.steps.map((step, i) => `  ${i + 1}. ${step}\n`).join('')
      const who = language === 'de' ? 'Zuständig' : 'Who acts'
      return `${cause.label} [${cause.flag}]\n${cause.meaning}\n${who}: ${cause.actor}\n${steps}${cause.link ? `${cause.link}\n` : ''}`
    })
  })
}
