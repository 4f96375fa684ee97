// `poststelle key`: keys of the ring that seals secrets at rest: made, listed, and taken out of use while the service works on.

import type { Command } from 'commander'
import { UserError } from '../base/failure.ts'
import { countSealedByKey } from '../db/sealed.ts'
import type { Language } from '../health/phrases.ts'
import { addKey, generateKey } from '../secrets/key-file.ts'
import { Vault } from '../secrets/vault.ts'
import type { CommandContext } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { answer, JSON_FLAG, table, withInstallation, type JsonOption } from './run.ts'

type Options = JsonOption & LanguageOption

export function addKeyCommand(program: Command, ctx: CommandContext): void {
  const key = program.command('key').description('keys that seal secrets at rest')
  key
    .command('generate')
    .description('print a new key for POSTSTELLE_KEYS (new keys go in front, older ones stay behind it)')
    .option(...JSON_FLAG)
    .action((options: JsonOption) => {
      const made = generateKey(new Date())
      answer(ctx, options, { key: made }, () => `${made}\n`)
    })
  addLanguageOption(
    key
      .command('list')
      .description('the keys of the ring, and how much each of them seals')
      .option(...JSON_FLAG),
  ).action((options: Options) =>
    withInstallation(ctx, async ({ db, vault }) => {
      const counts = await countSealedByKey(db)
      const total = [...counts.values()].reduce((sum, n) => sum + n, 0)
      const keys = vault.keyIds.map((id) => ({ id, seals: id === vault.primaryKeyId, values: counts.get(id) ?? 0 }))
      const coverage = total === 0 ? 100 : Math.floor((100 * (counts.get(vault.primaryKeyId) ?? 0)) / total)
      answer(ctx, options, { coverage_percent: coverage, keys }, () =>
        listText(keys, coverage, chosenLanguage(options), ctx.terminal.columns),
      )
    }),
  )
  addLanguageOption(
    key
      .command('rotate')
      .description('seal everything anew with the first key of the ring, while the service works on')
      .option('--new', 'make a new key first; only where the ring lies in the data folder')
      .option(...JSON_FLAG),
  ).action((options: Options & { new?: boolean }) => rotate(ctx, options))
}

async function rotate(ctx: CommandContext, options: Options & { new?: boolean }): Promise<void> {
  const language = chosenLanguage(options)
  const { unreadable } = await withInstallation(ctx, async (installation) => {
    const { rotateKeys } = await import('../credentials/rotate-keys.ts')
    const { config, db, clock } = installation
    let { vault } = installation
    if (options.new) {
      if (config.keys !== undefined)
        throw new UserError(
          'the key ring is given by POSTSTELLE_KEYS: put a key of "poststelle key generate" in front there, and rotate without --new',
          { exitCode: 2 },
        )
      addKey(config.dataFolder, clock.now())
      const { embeddedKeys } = await import('../secrets/key-file.ts')
      vault = new Vault(embeddedKeys(config.dataFolder, clock.now()))
    }
    const result = await rotateKeys({ db, vault }, (sealed, total) => {
      if (!ctx.terminal.errIsTTY) return
      const percent = total === 0 ? 100 : Math.floor((100 * sealed) / total)
      ctx.terminal.err(`\r${'█'.repeat(Math.floor(percent / 4)).padEnd(25, '░')} ${percent} % `)
    })
    if (ctx.terminal.errIsTTY) ctx.terminal.err('\n')
    const { done, unused } = result
    answer(
      ctx,
      options,
      { key: vault.primaryKeyId, resealed: done, unreadable: result.unreadable, unused_keys: unused },
      () => rotatedText(vault.primaryKeyId, done, unused, language),
    )
    return result
  })
  if (unreadable.length > 0) throw new UserError(unreadable.join('\n'), { exitCode: 3 })
}

function rotatedText(id: string, done: number, unused: readonly string[], language: Language): string {
  const german = language === 'de'
  const lines = [
    german
      ? `${done} ${done === 1 ? 'Wert ist' : 'Werte sind'} neu versiegelt, mit dem Schlüssel ${id}.`
      : `${done} ${done === 1 ? 'value is' : 'values are'} sealed anew, with the key ${id}.`,
    ...(unused.length > 0
      ? [
          german
            ? `Nicht mehr gebraucht, auch nicht für ältere Sicherungen, wenn es keine mehr gibt: ${unused.join(', ')}.`
            : `Not needed any more, unless for older backups: ${unused.join(', ')}.`,
        ]
      : []),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function listText(
  keys: readonly { id: string; seals: boolean; values: number }[],
  coverage: number,
  language: Language,
  columns: number,
): string {
  const german = language === 'de'
  const head = german ? ['SCHLÜSSEL', 'WERTE', ''] : ['KEY', 'VALUES', '']
  const rows = keys.map(({ id, seals, values }) => [id, String(values), seals ? (german ? 'versiegelt' : 'seals') : ''])
  const share = german ? `Deckung des ersten Schlüssels: ${coverage} %` : `coverage of the first key: ${coverage} %`
  return `${table([head, ...rows], columns)}${share}\n`
}
