// Structured log lines. What may be logged is chosen by the caller, field by field; as a second fence everything with a
// secret's name is removed.

import { pino, type Logger } from 'pino'
import type { LogLevel } from './config.ts'

export type { Logger } from 'pino'

/** In lower case, letters only. */
const SECRET_NAMES = new Set([
  'password',
  'passphrase',
  'secret',
  'clientsecret',
  'keys',
  'poststellekeys',
  'databaseurl',
  'redisurl',
  'token',
  'accesstoken',
  'refreshtoken',
  'idtoken',
  'assertion',
  'clientassertion',
  'msalcache',
  'authorization',
  'cookie',
  'setcookie',
])

export function createLogger(level: LogLevel): Logger {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    hooks: { streamWrite: withoutSecrets },
    serializers: {
      err: (error: unknown) =>
        error instanceof Error ? { name: error.name, message: error.message, stack: error.stack } : error,
    },
  })
}

/** Takes the finished line, so that nothing gets past it: neither depth nor lists nor what a child logger brings along. */
function withoutSecrets(line: string): string {
  const isSecret = (name: string): boolean => SECRET_NAMES.has(name.toLowerCase().replace(/[^a-z]/g, ''))
  return `${JSON.stringify(JSON.parse(line), (name, value: unknown) => (isSecret(name) ? '[removed]' : value))}\n`
}

export const silentLogger: Logger = pino({ level: 'silent' })
