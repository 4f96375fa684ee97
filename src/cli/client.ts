// `poststelle client`: the app registrations, what they prove themselves with, and until when.

import { readFileSync } from 'node:fs'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { Command } from 'commander'
import { instant } from '../base/clock.ts'
import { clientJson } from '../contract/clients.ts'
import { errorCode, UserError } from '../base/failure.ts'
import { fingerprintOf } from '../credentials/fingerprint.ts'
import { sealClientProof } from '../credentials/sealed.ts'
import { findClient, listClients, setClientLabel, setSecretExpiry, storeNextSecret } from '../db/client-secrets.ts'
import type { ClientProof } from '../oauth/token.ts'
import { asWorker } from '../db/as-worker.ts'
import { addPowershellCommand } from './client-powershell.ts'
import { clientRow, clientText, HEAD, promotedText, refusedText, unprovenText, waitingText } from './client-words.ts'
import type { CommandContext } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { answer, JSON_FLAG, table, withInstallation, type JsonOption } from './run.ts'

type Options = JsonOption & LanguageOption

export function addClientCommands(program: Command, ctx: CommandContext): void {
  const client = program.command('client').description('app registrations: their secrets, and until when they last')
  addLanguageOption(
    client
      .command('list')
      .description('all app registrations with their secrets and accounts')
      .option(...JSON_FLAG),
  ).action((options: Options) =>
    withInstallation(ctx, async ({ db, vault, clock }) => {
      const clients = await listClients(db)
      const language = chosenLanguage(options)
      answer(
        ctx,
        options,
        clients.map((one) => clientJson(one, fingerprintOf(vault, one))),
        () =>
          table([HEAD[language], ...clients.map((one) => clientRow(one, language, clock.now()))], ctx.terminal.columns),
      )
    }),
  )
  addLanguageOption(
    client
      .command('show')
      .argument('<client>', 'id, client id or label')
      .description('one app registration')
      .option(...JSON_FLAG),
  ).action((name: string, options: Options) =>
    withInstallation(ctx, async ({ db, vault, clock }) => {
      const found = await findClient(db, name)
      answer(ctx, options, clientJson(found, fingerprintOf(vault, found)), () =>
        clientText(found, fingerprintOf(vault, found), chosenLanguage(options), clock.now()),
      )
    }),
  )
  addSetSecret(client, ctx)
  addSmallChanges(client, ctx)
  addPowershellCommand(client, ctx)
}

interface SecretOptions extends Options {
  readonly file?: string
  readonly certificate?: string
  readonly key?: string
  readonly expires?: string
  readonly later?: boolean
  readonly patience: string
}

function addSetSecret(client: Command, ctx: CommandContext): void {
  addLanguageOption(
    client
      .command('set-secret')
      .argument('<client>', 'id, client id or label')
      .description('give a new secret: it is proven by a token request, and only then takes the place of the old one')
      .option('--file <file>', 'file that holds the secret (default: standard input)')
      .option('--certificate <file>', 'PEM certificate, in place of a secret')
      .option('--key <file>', 'PEM private key of the certificate')
      .option('--expires <date>', 'when it expires, as 2027-11-30; of a certificate it is read')
      .option('--later', 'do not prove it now: it is tried when the current one is refused')
      .option('--patience <seconds>', 'how long a new secret may be unknown to the provider', '60')
      .option(...JSON_FLAG),
  ).action(async (name: string, options: SecretOptions) => {
    const { proof, expiresAt } = await readProof(ctx, options)
    const seconds = Number(options.patience)
    if (!Number.isInteger(seconds) || seconds < 0 || seconds > 600)
      throw new UserError('--patience is not a number of seconds from 0 to 600', { exitCode: 2 })
    await withInstallation(ctx, async (installation) => {
      const { db, vault } = installation
      const found = await findClient(db, name)
      const language = chosenLanguage(options)
      if (proof.kind === 'none') throw new UserError('the secret is empty', { exitCode: 2 })
      const sealed = sealClientProof(vault, found.id, proof, 'next_secret')
      if (sealed !== null) await storeNextSecret(db, found.id, { kind: proof.kind, sealed, expiresAt })
      if (options.later || found.accounts === 0) {
        answer(ctx, options, { client: found.clientId, state: 'waiting' }, () => waitingText(found, language))
        return
      }
      const { proveNextSecret } = await import('../credentials/client-secret.ts')
      const attempts = Math.floor(seconds / 20) + 1
      const outcome = await asWorker(installation, (workerId) =>
        proveNextSecret({ ...installation, workerId, command: true }, found.id, { attempts, waitMs: 20_000 }),
      )
      const told =
        outcome.kind === 'promoted' ? { accounts: outcome.accounts } : { flag: outcome.failure?.flag ?? null }
      answer(ctx, options, { client: found.clientId, state: outcome.kind, ...told }, () => {
        if (outcome.kind === 'promoted') return promotedText(found, outcome.accounts, language)
        return outcome.kind === 'refused'
          ? refusedText(found, outcome.failure, language)
          : unprovenText(found, outcome.failure, language)
      })
      if (outcome.kind !== 'promoted')
        throw new UserError(`${found.label || found.clientId}: the new secret is not in use`, { exitCode: 1 })
    })
  })
}

function addSmallChanges(client: Command, ctx: CommandContext): void {
  client
    .command('expires')
    .argument('<client>', 'id, client id or label')
    .argument('<date>', 'when its secret expires, as 2027-11-30, or "unknown"')
    .description('tell when the current secret expires, so that it is announced in time')
    .option(...JSON_FLAG)
    .action((name: string, date: string, options: JsonOption) => {
      const expiresAt = date === 'unknown' ? null : dayOf(date)
      return withInstallation(ctx, async ({ db }) => {
        const found = await findClient(db, name)
        await setSecretExpiry(db, found.id, expiresAt)
        answer(
          ctx,
          options,
          { client: found.clientId, secret_expires_at: expiresAt },
          () => `${found.clientId}: ${date}\n`,
        )
      })
    })
  client
    .command('label')
    .argument('<client>', 'id, client id or label')
    .argument('<label>', 'the name it is shown by')
    .description('give an app registration a name that people know it by')
    .option(...JSON_FLAG)
    .action((name: string, label: string, options: JsonOption) => {
      if (label.trim() === '' || label.length > 200 || /\p{Cc}/u.test(label))
        throw new UserError('the label is empty, longer than 200 characters, or has control characters', {
          exitCode: 2,
        })
      return withInstallation(ctx, async ({ db }) => {
        const found = await findClient(db, name)
        await setClientLabel(db, found.id, label.trim())
        answer(
          ctx,
          options,
          { client: found.clientId, label: label.trim() },
          () => `${found.clientId}: ${label.trim()}\n`,
        )
      })
    })
  client
    .command('drop-next')
    .argument('<client>', 'id, client id or label')
    .description('forget the secret that waits; the current one is not touched')
    .option(...JSON_FLAG)
    .action((name: string, options: JsonOption) =>
      withInstallation(ctx, async ({ db }) => {
        const found = await findClient(db, name)
        if (!found.next) throw new UserError(`${found.label || found.clientId}: no secret waits`)
        await storeNextSecret(db, found.id, null)
        answer(
          ctx,
          options,
          { client: found.clientId, next: null },
          () => `${found.clientId}: nothing waits any more\n`,
        )
      }),
    )
}

function dayOf(text: string): Date {
  const at = instant(text.slice(0, 10), '00:00', 'Z')
  const exact = new Date(text)
  if (!at || Number.isNaN(exact.getTime()))
    throw new UserError(`"${text}" is not a date like 2027-11-30`, { exitCode: 2 })
  return exact
}

async function readProof(
  ctx: CommandContext,
  { file, certificate, key, expires }: SecretOptions,
): Promise<{ proof: ClientProof; expiresAt: Date | null }> {
  if ((certificate === undefined) !== (key === undefined))
    throw new UserError('--certificate and --key belong together', { exitCode: 2 })
  if (certificate !== undefined && key !== undefined) {
    const pem = { certificatePem: read(certificate), privateKeyPem: read(key) }
    const { x509, privateKey } = parsed(pem, certificate, key)
    if (!x509.checkPrivateKey(privateKey))
      throw new UserError(`${key}: the private key does not belong to the certificate`, { exitCode: 2 })
    return { proof: { kind: 'certificate', ...pem }, expiresAt: x509.validToDate }
  }
  const text = file === undefined ? (await ctx.terminal.stdin()).toString('utf8') : read(file)
  const secret = text.replace(/\r?\n$/, '')
  if (secret === '' || /[\r\n\0]/.test(secret))
    throw new UserError('the secret is empty, or has more than one line', { exitCode: 2 })
  return { proof: { kind: 'secret', secret }, expiresAt: expires === undefined ? null : dayOf(expires) }
}

function parsed(
  { certificatePem, privateKeyPem }: { certificatePem: string; privateKeyPem: string },
  certificate: string,
  key: string,
) {
  try {
    return { x509: new X509Certificate(certificatePem), privateKey: createPrivateKey(privateKeyPem) }
  } catch (error) {
    // the text of the error may repeat the key
    throw new UserError(`${certificate}, ${key}: not a PEM certificate and its PEM key (${errorCode(error)})`, {
      exitCode: 2,
    })
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UserError(`${file}: cannot be read (${errorCode(error)})`, { cause: error, exitCode: 2 })
  }
}
