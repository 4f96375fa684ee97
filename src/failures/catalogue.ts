// The catalogue of causes: data in flags/*.json, checked when it is loaded. Each entry says whose fault it is, whether waiting
// helps, which lanes it stops, and what it means and takes to mend, in German and English.

import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { DIRECTIONS, PERSISTENCES, SCOPES } from '../base/failure.ts'

const text = z.string().min(1)
const texts = z.strictObject({
  /** A few words, as on a badge. */
  label: text.max(60),
  /** One or two plain sentences. */
  meaning: text.max(600),
  /** Who must act, or that nobody must. */
  actor: text.max(120),
  /** What to click or do, in order; empty where it heals by itself. */
  steps: z.array(text.max(400)),
  link: z.url({ protocol: /^https$/ }).nullable(),
})

const flagEntry = z.strictObject({
  flag: z.string().regex(/^[a-z][a-z0-9_]*$/),
  scope: z.enum(SCOPES),
  persistence: z.enum(PERSISTENCES),
  /** Lanes that cannot work while it lasts; 'stage' means: those of the stage it was met in (token: both). */
  blocks: z.union([z.array(z.enum(DIRECTIONS)), z.literal('stage')]),
  /** Who finds out whether it is over: each account for itself (unless told), or one of an app registration for all of them. */
  probe: z.enum(['account', 'client']).optional(),
  /** The provider lifts it by itself, but not earlier. */
  waitSeconds: z.int().positive().optional(),
  de: texts,
  en: texts,
})
export type FlagEntry = z.infer<typeof flagEntry>
export type FlagTexts = FlagEntry['de']

export const UNCLASSIFIED = 'unclassified'

/** Reads all JSON files of a folder beside this file, in the order of their names, and checks every entry. */
export function readData<T>(folder: string, entry: z.ZodType<T>): T[] {
  const at = path.join(import.meta.dirname, folder)
  return readdirSync(at)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .flatMap((file) => {
      const parsed = z.array(entry).safeParse(JSON.parse(readFileSync(path.join(at, file), 'utf8')))
      if (!parsed.success) throw new Error(`${folder}/${file}: ${z.prettifyError(parsed.error)}`)
      return parsed.data
    })
}

const entries = new Map(readData('flags', flagEntry).map((entry) => [entry.flag, entry]))

export const flags = (): readonly FlagEntry[] => [...entries.values()]

export const isFlag = (name: string): boolean => entries.has(name)

/** Throws where the catalogue has no such flag: a rule or a caller has misspelt it. */
export function flagEntryOf(flag: string): FlagEntry {
  const entry = entries.get(flag)
  if (!entry) throw new Error(`the catalogue has no flag "${flag}"`)
  return entry
}

/** What a flag means to a person; a flag of another version of the catalogue is shown as unclassified. */
export function explain(flag: string, language: 'de' | 'en'): FlagTexts {
  return (entries.get(flag) ?? flagEntryOf(UNCLASSIFIED))[language]
}
