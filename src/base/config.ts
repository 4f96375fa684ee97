// The only place that reads the environment. Every setting is checked, all problems are reported at once, and a name that
// begins with POSTSTELLE_ but is not known is refused: a misspelt setting must not be silently ignored.

import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import path from 'node:path'
import { errorCode, errorText, UserError } from './failure.ts'

export interface Key {
  readonly id: string
  readonly bytes: Buffer
}

export interface Config {
  /** undefined: the embedded Postgres in `dataFolder` is used. */
  readonly databaseUrl: string | undefined
  /** undefined: BullMQ works on its Postgres backend. */
  readonly redisUrl: string | undefined
  readonly dataFolder: string
  /** The key ring, first key seals. undefined: embedded mode, the ring is made and kept in `dataFolder`. */
  readonly keys: readonly Key[] | undefined
  readonly http: { readonly host: string; readonly port: number }
  /** By which browsers reach it; undefined: on this machine. */
  readonly publicUrl: string | undefined
  /** Shown beside the name on every page: PRODUCTION, TEST ...; '' for nothing. */
  readonly environment: string
  /** PEM text of certificate authorities trusted besides the system's. */
  readonly extraCaPem: string | undefined
  /** Networks (CIDR) that mail and token hosts may be in although they are private. */
  readonly egressAllow: readonly string[]
  /** Programs that notices may go to, by name. */
  readonly notifyCommands: ReadonlyMap<string, string>
  readonly logLevel: LogLevel
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Every setting with the text that .env.example and `--help` show. */
export const SETTINGS = {
  DATABASE_URL: 'PostgreSQL 15 or newer; without it an embedded one runs in POSTSTELLE_DATA',
  REDIS_URL: 'Redis for the queues, noeviction and append-only; without it the queues live in Postgres',
  POSTSTELLE_DATA: 'folder of the embedded database and its keys (default ./data)',
  POSTSTELLE_KEYS: 'key ring id:base64[,older...], 32 bytes each; required with DATABASE_URL (poststelle key generate)',
  POSTSTELLE_HTTP: 'address of the dashboard (default 127.0.0.1:8470)',
  POSTSTELLE_URL: 'address by which browsers reach it, as https://poststelle.example.com (default: this machine)',
  POSTSTELLE_ENVIRONMENT: 'a word that every page shows beside the name, as PRODUCTION or TEST',
  POSTSTELLE_CA_FILE: 'PEM file of certificate authorities trusted besides the public ones',
  POSTSTELLE_EGRESS_ALLOW: 'private networks that mail and token hosts may be in, e.g. 10.1.0.0/16,192.168.5.7',
  POSTSTELLE_NOTIFY_COMMANDS:
    'programs that notices may be given to, e.g. pager=/usr/local/bin/page-me,sms=/opt/sms/send',
  POSTSTELLE_LOG: 'trace, debug, info, warn, error or silent (default info)',
} as const
export type SettingName = keyof typeof SETTINGS

export type Environment = Readonly<Record<string, string | undefined>>

/** Throws UserError (exit code 2) that lists every problem, one per line. */
export function readConfig(env: Environment = process.env): Config {
  const problems: string[] = []
  const attempt = <T>(name: string, parse: () => T): T | undefined => {
    try {
      return parse()
    } catch (error) {
      problems.push(`${name}: ${errorText(error)}`)
      return undefined
    }
  }
  const value = (name: SettingName): string | undefined => attempt(name, () => readSetting(env, name))

  for (const name of Object.keys(env)) {
    if (name.startsWith('POSTSTELLE_') && !(name.replace(/_FILE$/, '') in SETTINGS) && !(name in SETTINGS)) {
      problems.push(`${name}: is not a setting; known are ${Object.keys(SETTINGS).join(', ')}`)
    }
  }
  const databaseUrl = value('DATABASE_URL')
  if (databaseUrl !== undefined) attempt('DATABASE_URL', () => checkUrl(databaseUrl, ['postgres:', 'postgresql:']))
  const redisUrl = value('REDIS_URL')
  if (redisUrl !== undefined) attempt('REDIS_URL', () => checkUrl(redisUrl, ['redis:', 'rediss:']))
  const keyText = value('POSTSTELLE_KEYS')
  const keys = keyText === undefined ? undefined : attempt('POSTSTELLE_KEYS', () => parseKeys(keyText))
  if (
    databaseUrl !== undefined &&
    keyText === undefined &&
    !problems.some((problem) => problem.startsWith('POSTSTELLE_KEYS:'))
  ) {
    problems.push('POSTSTELLE_KEYS: is required with DATABASE_URL; "poststelle key generate" prints one')
  }
  const http = attempt('POSTSTELLE_HTTP', () => parseListen(value('POSTSTELLE_HTTP') ?? '127.0.0.1:8470'))
  const urlText = value('POSTSTELLE_URL')
  const publicUrl = urlText === undefined ? undefined : attempt('POSTSTELLE_URL', () => parsePublicUrl(urlText))
  const environment = attempt('POSTSTELLE_ENVIRONMENT', () => parseWord(value('POSTSTELLE_ENVIRONMENT') ?? '')) ?? ''
  const caFile = value('POSTSTELLE_CA_FILE')
  const extraCaPem = caFile === undefined ? undefined : attempt('POSTSTELLE_CA_FILE', () => readPem(caFile))
  const allowText = value('POSTSTELLE_EGRESS_ALLOW')
  const egressAllow = attempt('POSTSTELLE_EGRESS_ALLOW', () => parseNetworks(allowText ?? '')) ?? []
  const commandText = value('POSTSTELLE_NOTIFY_COMMANDS')
  const notifyCommands = attempt('POSTSTELLE_NOTIFY_COMMANDS', () => parseCommands(commandText ?? '')) ?? new Map()
  const logLevel = attempt('POSTSTELLE_LOG', () => parseLevel(value('POSTSTELLE_LOG') ?? 'info'))
  const dataFolder = path.resolve(value('POSTSTELLE_DATA') ?? 'data')

  if (problems.length > 0 || http === undefined || logLevel === undefined) {
    throw new UserError(problems.join('\n'), { exitCode: 2 })
  }
  return {
    databaseUrl,
    redisUrl,
    dataFolder,
    keys,
    http,
    publicUrl,
    environment,
    extraCaPem,
    egressAllow,
    notifyCommands,
    logLevel,
  }
}

function parseCommands(text: string): Map<string, string> {
  const commands = new Map<string, string>()
  for (const part of text.split(',').map((one) => one.trim())) {
    if (part === '') continue
    const [, name = '', file = ''] = /^([a-z0-9_-]{1,40})=(\/.+)$/i.exec(part) ?? []
    if (name === '') throw new Error(`"${part}" is not a name and a program, as pager=/usr/local/bin/page-me`)
    commands.set(name, file)
  }
  return commands
}

function readSetting(env: Environment, name: SettingName): string | undefined {
  const direct = env[name]?.trim() || undefined
  // POSTSTELLE_CA_FILE names a file itself: only a further _FILE would name a file with its value
  const file = env[`${name}_FILE`]?.trim() || undefined
  if (file === undefined) return direct
  if (direct !== undefined) throw new Error(`is set twice, also as ${name}_FILE`)
  const text = readSecretFile(name, file)
  if (text === '') throw new Error(`the file of ${name}_FILE is empty`)
  return text
}

function readSecretFile(name: SettingName, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    // the system's message repeats the path, which is the secret itself where somebody mixed up NAME and NAME_FILE
    throw new Error(`the file of ${name}_FILE cannot be read (${errorCode(error)})`, { cause: error })
  }
}

function checkUrl(text: string, protocols: readonly string[]): void {
  const url = URL.parse(text) // the text may hold a password: it is not repeated in the message
  if (!url || !protocols.includes(url.protocol)) throw new Error(`is not a ${protocols.at(-1)}//... URL`)
}

/** The key ring as it is set now; undefined where it is not set. Throws where it cannot be read. */
export function rereadKeys(env: Environment = process.env): Key[] | undefined {
  const text = readSetting(env, 'POSTSTELLE_KEYS')
  return text === undefined ? undefined : parseKeys(text)
}

/** `id:base64[,id:base64...]`; ids are 1 to 32 letters, digits, `-`, `_`. */
export function parseKeys(text: string): Key[] {
  const keys = text.split(',').map((part, i) => {
    const [, id, base64] = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/_=-]+)$/.exec(part.trim()) ?? []
    if (id === undefined || base64 === undefined) throw new Error(`key ${i + 1} is not of the form id:base64`)
    const bytes = Buffer.from(base64, 'base64')
    if (bytes.length !== 32) throw new Error(`key "${id}" has ${bytes.length} bytes, needed are 32`)
    return { id, bytes }
  })
  const twice = keys.find((key, i) => keys.findIndex((other) => other.id === key.id) !== i)
  if (twice) throw new Error(`key id "${twice.id}" stands there twice`)
  return keys
}

function parseListen(text: string): Config['http'] {
  const { bracketed, plain, port } =
    /^(?:\[(?<bracketed>[0-9a-fA-F:.]+)\]|(?<plain>[^:\s[\]]+)):(?<port>\d{1,5})$/.exec(text)?.groups ?? {}
  const host = bracketed ?? plain
  const wrong = host === undefined || Number(port) > 65_535 || (bracketed !== undefined && isIP(bracketed) !== 6)
  if (wrong) throw new Error(`"${text}" is not of the form address:port`)
  return { host, port: Number(port) }
}

function parseWord(text: string): string {
  if (!/^[^\p{Cc}<>]{0,24}$/u.test(text))
    throw new Error('is longer than 24 characters, or has characters that no page should show')
  return text
}

/** https, but for this machine; no query: paths are put behind it. */
function parsePublicUrl(text: string): string {
  const url = URL.parse(text)
  const local = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url?.hostname ?? '')
  if (!url || !(url.protocol === 'https:' || (url.protocol === 'http:' && local)))
    throw new Error(`"${text}" is not an https:// address`)
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw new Error(`"${text}" has more than a host and a path`)
  return url.href.replace(/\/$/, '')
}

/** Without a final slash. */
export const publicUrl = (config: Config): string => config.publicUrl ?? `http://localhost:${config.http.port}`

/** Where providers send a browser back to; to be registered there exactly so. */
export const redirectUri = (config: Config): string => `${publicUrl(config)}/oauth/callback`

function readPem(file: string): string {
  const text = readFileSync(file, 'utf8')
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new Error(`${file} contains no PEM certificate`)
  return text
}

function parseNetworks(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean)
    .map((network) => {
      const [address = '', prefix, ...more] = network.split('/')
      const version = isIP(address)
      const max = version === 6 ? 128 : 32
      if (
        version === 0 ||
        more.length > 0 ||
        (prefix !== undefined && !(/^\d{1,3}$/.test(prefix) && Number(prefix) <= max))
      ) {
        throw new Error(`"${network}" is not an address or a network like 10.1.0.0/16`)
      }
      return network
    })
}

function parseLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((known) => known === text)
  if (!level) throw new Error(`"${text}" is not one of ${LOG_LEVELS.join(', ')}`)
  return level
}
