// The import format of an account: checked field by field, its well-known traps defused and said so. Pure.

import { z } from 'zod'
import { errorText, UserError } from '../base/failure.ts'
import type { SendingLimits } from '../db/accounts.ts'
import type { MaildropPolicy } from '../db/maildrops.ts'
import type { UncertainPolicy } from '../db/schema.ts'
import { authFields, authSettings, type AuthSettings } from './auth-settings.ts'
import { oneLine, report, together, type HostCheck } from './fields.ts'
import { maildropFields, maildropPolicy, maildropProblems } from './maildrop-settings.ts'
import { sendingFields, sendingLimits } from './sending-settings.ts'

const port = z
  .int('is not a whole number')
  .min(1, 'is not a port (1 to 65535)')
  .max(65_535, 'is not a port (1 to 65535)')
const hostName = oneLine(253)
  .transform((text) => text.trim().toLowerCase().replace(/\.$/, ''))
  .refine(
    (text) =>
      /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$|^[0-9a-f:.]+$/.test(
        text,
      ),
    {
      error: 'is not a host name',
      abort: true,
    },
  )
const email = oneLine(254)
  .transform((text) => text.trim())
  .refine((text) => /^[^\s<>()[\]\\,;:"@]{1,64}@[^\s<>()[\]\\,;:"@]+$/.test(text), 'is not an e-mail address')
const security = z
  .string('is not a text')
  .transform(
    (text) =>
      ({ ssl: 'tls', 'ssl/tls': 'tls', stls: 'starttls' })[text.trim().toLowerCase()] ?? text.trim().toLowerCase(),
  )
  .pipe(z.enum(['tls', 'starttls', 'none'], 'must be "tls", "starttls" or "none"'))

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|::1)$/

const mailHost = (checkHost: HostCheck) =>
  z
    .strictObject(
      {
        host: hostName.superRefine((name, ctx) => report(ctx, checkHost(name))),
        port,
        security,
        username: oneLine(320).min(1, 'is empty').optional(),
      },
      'is not an object',
    )
    .refine(
      (input) => input.security !== 'none' || LOOPBACK.test(input.host),
      together('security', '"none" is allowed for this machine only; use "tls" or "starttls"'),
    )

const accountSchema = (checkHost: HostCheck) =>
  z
    .strictObject(
      {
        email,
        label: oneLine(200).optional(),
        default: z.boolean('must be true or false').optional(),
        pop3: mailHost(checkHost).nullable().optional(),
        smtp: mailHost(checkHost).nullable().optional(),
        auth: authFields(checkHost),
        ...maildropFields,
        ...sendingFields,
      },
      'is not an object',
    )
    .refine(({ pop3, smtp }) => (pop3 ?? smtp ?? null) !== null, together('pop3', 'neither pop3 nor smtp is given'))
    .refine(
      ({ canary_minutes: canary, pop3, smtp }) => !canary || (pop3 && smtp),
      together('canary_minutes', 'needs both pop3 and smtp: mail goes from the account to itself'),
    )
    .superRefine((input, ctx) => {
      for (const [field, message] of maildropProblems(input)) ctx.addIssue({ code: 'custom', path: [field], message })
    })

type AccountInput = z.infer<ReturnType<typeof accountSchema>>

export interface HostSettings {
  readonly host: string
  readonly port: number
  readonly security: 'tls' | 'starttls' | 'none'
  readonly username: string
}

export interface AccountSettings {
  readonly email: string
  readonly label: string
  readonly isDefault: boolean
  readonly pop3: HostSettings | null
  readonly smtp: HostSettings | null
  readonly auth: AuthSettings
  readonly maildrop: MaildropPolicy
  readonly sending: SendingLimits
  /** Absent: it stays as it is. */
  readonly uncertainPolicy?: UncertainPolicy
  /** What was understood differently from how it was written, and what looks wrong; one sentence each. */
  readonly notes: readonly string[]
}

/**
 * Reads accounts out of JSON text (one object or an array). `source` names the file in messages. Throws UserError (exit code 2)
 * with every problem on a line of its own: source, account, field.
 */
export function parseAccounts(text: string, source: string, checkHost: HostCheck): AccountSettings[] {
  const problems: string[] = []
  const schema = accountSchema(checkHost)
  const values = toList(text, source)
  const accounts = values.flatMap((value, index) => {
    const parsed = schema.safeParse(value, { reportInput: true })
    if (parsed.success) return normalise(parsed.data)
    for (const issue of parsed.error.issues) {
      for (const problem of explain(issue)) problems.push(`${source}: ${describe(value, index)}: ${problem}`)
    }
    return []
  })
  const seen = new Map<string, number>()
  for (const [index, value] of values.entries()) {
    const key = textField(value, 'email').trim().toLowerCase()
    const first = seen.get(key)
    if (key !== '' && first !== undefined)
      problems.push(`${source}: ${describe(value, index)}: email: stands there twice, also as account ${first + 1}`)
    else seen.set(key, index)
  }
  if (accounts.filter((account) => account.isDefault).length > 1) {
    problems.push(`${source}: default: more than one account is marked as the default`)
  }
  if (problems.length > 0) throw new UserError(problems.join('\n'), { exitCode: 2 })
  return accounts
}

function toList(text: string, source: string): unknown[] {
  const json = text.replace(/^\uFEFF/, '')
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    // the parser's message may quote the text, which may be a secret
    throw new UserError(`${source}: is not valid JSON (line ${errorLine(json)})`, { exitCode: 2 })
  }
  const list: unknown[] = Array.isArray(value) ? value : [value]
  if (list.length === 0) throw new UserError(`${source}: contains no account`, { exitCode: 2 })
  return list
}

/**
 * The parser says where it stopped, but for an unexpected token: that one is in the first line with which the text, cut behind
 * it, has one. A text that ends too early ends in its last line.
 */
function errorLine(json: string): number {
  const at = /at position (\d+)/.exec(parserMessage(json))?.[1]
  if (at !== undefined) return json.slice(0, Number(at)).split('\n').length
  const lines = json.split('\n')
  let [low, high] = [1, lines.length]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (parserMessage(lines.slice(0, middle).join('\n')).startsWith('Unexpected token')) high = middle
    else low = middle + 1
  }
  return low
}

function parserMessage(json: string): string {
  try {
    JSON.parse(json)
    return ''
  } catch (error) {
    return errorText(error)
  }
}

function textField(value: unknown, field: string): string {
  const found =
    typeof value === 'object' && value !== null
      ? Object.entries(value).find(([name]) => name === field)?.[1]
      : undefined
  return typeof found === 'string' ? found : ''
}

function describe(value: unknown, index: number): string {
  const address = textField(value, 'email').slice(0, 100)
  return address === '' ? `account ${index + 1}` : `account ${index + 1} (${inOneLine(address)})`
}

const inOneLine = (text: string): string => text.replace(/[\u0000-\u001f\u007f]+/g, ' ')

/** One problem: field and what is wrong with it; several where fields are unknown. */
function explain(issue: z.core.$ZodIssue): string[] {
  const field = issue.path.join('.')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${field === '' ? '' : `${field}.`}${inOneLine(key).slice(0, 100)}: is not a field`)
  }
  const missing = issue.code !== 'custom' && issue.input === undefined
  return [`${field === '' ? 'the account' : field}: ${missing ? 'is missing' : issue.message}`]
}

function normalise(input: AccountInput): AccountSettings {
  const notes: string[] = []
  return {
    email: input.email,
    label: input.label ?? '',
    isDefault: input.default ?? false,
    pop3: host('pop3', input.pop3, input.email, 995, notes),
    smtp: host('smtp', input.smtp, input.email, 465, notes),
    auth: authSettings(input.auth, notes),
    maildrop: maildropPolicy(input),
    sending: sendingLimits(input),
    ...(input.uncertain_policy !== undefined && { uncertainPolicy: input.uncertain_policy }),
    notes,
  }
}

/** POP3, SMTP, submission (RFC 8314 section 3). */
const BEGIN_WITHOUT_TLS = [110, 25, 587]

function host(
  field: 'pop3' | 'smtp',
  input: AccountInput['pop3'],
  defaultUser: string,
  implicitTlsPort: number,
  notes: string[],
): HostSettings | null {
  if (!input) return null
  const implicit = input.security === 'starttls' && input.port === implicitTlsPort
  if (implicit)
    notes.push(
      `${field}.security: port ${implicitTlsPort} speaks TLS from the first byte; "starttls" was stored as "tls"`,
    )
  const explicit = input.security === 'tls' && BEGIN_WITHOUT_TLS.includes(input.port)
  if (explicit) notes.push(`${field}.security: port ${input.port} begins without TLS; "tls" was stored as "starttls"`)
  return {
    host: input.host,
    port: input.port,
    security: implicit ? 'tls' : explicit ? 'starttls' : input.security,
    username: input.username ?? defaultUser,
  }
}
