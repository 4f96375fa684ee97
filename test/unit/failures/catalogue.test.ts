import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { explain, flagEntryOf, flags, readData, UNCLASSIFIED } from '../../../src/failures/catalogue.ts'
import type { FlagEntry, FlagTexts } from '../../../src/failures/catalogue.ts'

const LANGUAGES = ['de', 'en'] as const
const flagsWhere = (holds: (entry: FlagEntry) => boolean): string[] =>
  flags()
    .filter(holds)
    .map((entry) => entry.flag)
const sentences = (texts: FlagTexts): string[] => [texts.label, texts.meaning, texts.actor, ...texts.steps]

// German words in which ue is no substitute for an umlaut; after a vowel or q (neue, Dauer, Quelle) it never is.
const GENUINE = /^(aktuell|manuell|individuell|virtuell|zuerst|true$)/i
const substitutes = (text: string): string[] =>
  text
    .replace(/https:\S+/g, '')
    .split(/[^\p{L}]+/u)
    .filter((word) => /ae|oe|(?<![aeäq])ue/i.test(word) && !GENUINE.test(word))

describe('the catalogue of causes', () => {
  test('names every cause once', () => {
    const names = readData('flags', z.object({ flag: z.string() })).map((entry) => entry.flag)
    expect(names.length).toBeGreaterThan(100)
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([])
  })

  test.each(LANGUAGES)('gives every cause a label of its own (%s)', (language) => {
    const labels = flags().map((entry) => entry[language].label)
    expect(labels.filter((label, at) => labels.indexOf(label) !== at)).toEqual([])
  })

  test.each(LANGUAGES)('explains every cause completely (%s)', (language) => {
    const flawed = flagsWhere((entry) => {
      const { meaning, steps } = entry[language]
      const trimmed = sentences(entry[language]).every((text) => /^\S(.*\S)?$/.test(text))
      return !trimmed || !meaning.endsWith('.') || steps.length > 5 || !steps.every((step) => /[.?]$/.test(step))
    })
    expect(flawed).toEqual([])
  })

  test('says the same in both languages, each in its own words', () => {
    expect(flagsWhere(({ de, en }) => de.steps.length !== en.steps.length || de.link !== en.link)).toEqual([])
    expect(flagsWhere(({ de, en }) => de.meaning === en.meaning || de.actor === en.actor)).toEqual([])
  })

  test.each(LANGUAGES)('speaks calmly (%s)', (language) => {
    expect(flagsWhere((entry) => sentences(entry[language]).join(' ').includes('!'))).toEqual([])
  })

  test('writes real umlauts in German and none in English', () => {
    expect(flags().flatMap((entry) => sentences(entry.de).flatMap(substitutes))).toEqual([])
    expect(flagsWhere((entry) => /[äöüß„]/i.test(sentences(entry.en).join(' ')))).toEqual([])
  })

  test.each(LANGUAGES)('links to https pages only (%s)', (language) => {
    const links = flags().flatMap((entry) => entry[language].link ?? [])
    expect(links.filter((link) => new URL(link).protocol !== 'https:')).toEqual([])
  })

  test('says who must act where somebody must, and how', () => {
    const human = (entry: FlagEntry): boolean => entry.persistence === 'human'
    expect(flagsWhere(human).length).toBeGreaterThan(50)
    expect(flagsWhere((entry) => human(entry) && entry.de.steps.length === 0)).toEqual([])
    expect(flagsWhere((entry) => human(entry) && /niemand/i.test(entry.de.actor))).toEqual([])
    expect(flagsWhere((entry) => human(entry) && /nobody/i.test(entry.en.actor))).toEqual([])
  })
})

describe('the lanes a cause stops', () => {
  const ofOneMail = (entry: FlagEntry): boolean => entry.scope === 'recipient' || entry.scope === 'message'

  /** Said of a maildrop that is polled all the same. */
  const notes = ['uidl_not_supported', 'stored_copy_damaged', 'settings_corrected', 'mailbox_silent']

  test('are none where only one message or recipient is concerned, or nothing stands still, and at least one otherwise', () => {
    expect(flagsWhere((entry) => ofOneMail(entry) !== (entry.blocks.length === 0)).toSorted()).toEqual(notes.toSorted())
  })

  test('are never given up for good: only a message or a recipient is refused finally', () => {
    expect(flagsWhere((entry) => entry.persistence === 'permanent' && !ofOneMail(entry))).toEqual([])
  })

  test('never wait for a person because of one message or recipient', () => {
    expect(flagsWhere((entry) => entry.persistence === 'human' && ofOneMail(entry))).toEqual([])
  })
})

describe('what is shown for a flag', () => {
  test('is the text of that flag in the language asked for', () => {
    expect(explain('client_secret_expired', 'de').label).toBe('Clientschlüssel abgelaufen')
    expect(explain('client_secret_expired', 'en').label).toBe('Client secret expired')
  })

  test('is the unknown error for a flag of another version', () => {
    expect(explain('flag_of_tomorrow', 'de')).toEqual(flagEntryOf(UNCLASSIFIED).de)
  })

  test('refuses a misspelt flag where a rule names it', () => {
    expect(() => flagEntryOf('client_secret_expird')).toThrow('"client_secret_expird"')
  })

  test('turns to the security defaults of a tenant only after the other ways, and warns', () => {
    const { steps } = explain('security_defaults_block', 'de')
    const last = steps.findIndex((step) => step.includes('Sicherheitsstandards verwalten'))
    expect(last).toBeGreaterThan(1)
    expect(steps[last]).toContain('Nur als letztes Mittel')
    expect(steps[last + 1]).toContain('Warnung')
  })

  test('asks for the value of a client secret, not for its id', () => {
    for (const flag of ['client_secret_expired', 'client_secret_invalid']) {
      expect(explain(flag, 'de').steps.join(' ')).toMatch(/Spalte „Wert“ kopieren, nicht die „Geheime ID“/)
    }
  })
})
