// Everything that is said of settings and requests has its German sentence.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { inGerman } from '../../../src/contract/german.ts'

const SRC = path.join(import.meta.dirname, '../../../src')
const FILES = [
  'accounts/auth-settings.ts',
  'accounts/maildrop-settings.ts',
  'accounts/sending-settings.ts',
  'accounts/settings.ts',
  'accounts/fields.ts',
  'accounts/host-check.ts',
  'accounts/import.ts',
  'message/parse-thread.ts',
  'message/guarded-parser.ts',
  'contract/people.ts',
  'contract/notify.ts',
  'contract/filter.ts',
  'contract/basics.ts',
  'oauth/provider-presets.ts',
]

/** Of a parser, and names. */
const NOT_SAID = ['Unexpected token', 'US Government', 'China (21Vianet)', 'the parsing thread ended']

/** Sentences as they stand in the source, with something in the place of what is put in. */
const sentences = FILES.flatMap((file) => {
  const text = readFileSync(path.join(SRC, file), 'utf8').replace(/^\s*(?:\/\/|\*).*$/gm, '')
  return [...text.matchAll(/'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`/g)]
    .map(([, plain, template]) => plain ?? (template ?? '').replace(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, '7'))
    .filter((sentence) => !NOT_SAID.includes(sentence) && !sentence.startsWith('from sender reply-to'))
    .filter(
      (sentence) =>
        /^(?:[\w.]+: |7: |")?["\w./-]+ .*[a-z]/.test(sentence) && !sentence.replace(/^7: /, '').startsWith('7'),
    )
})

test('sentences are found at all', () => {
  expect(sentences.length).toBeGreaterThan(70)
  expect(sentences).toContain('is not a URL')
})

test.each([...new Set(sentences)])('%s', (sentence) => {
  expect(inGerman(sentence)).not.toBe(sentence)
})

test.each([
  [
    'auth.token_endpoint: a blank inside the URL was removed',
    'auth.token_endpoint: ein Leerzeichen in der URL wurde entfernt',
  ],
  ['pop3.port: is not a port (1 to 65535)', 'pop3.port: ist kein Port (1 bis 65535)'],
  ['filter: "kaputt" is not a state; there are new, ok', 'filter: „kaputt“ ist kein Zustand; es gibt: new, ok'],
  ['account 3 (a@b.de): email: is missing', 'Konto 3 (a@b.de): email: fehlt'],
  [
    'auth.client_secret: is shared by 12 accounts of this app registration; it was changed for all of them',
    'auth.client_secret: teilen sich 12 Konten dieser App-Registrierung; es wurde für alle geändert',
  ],
  ['is missing; the flow "password" needs it', 'fehlt; die Anmeldeart „password“ braucht es'],
  ['535 5.7.139 Authentication unsuccessful', '535 5.7.139 Authentication unsuccessful'],
])('%s becomes %s', (english, german) => {
  expect(inGerman(english)).toBe(german)
})
