// The catalogue as a page for people, in Markdown: every cause with its meaning, who must act, and what to click.

import { flags, type FlagEntry } from './catalogue.ts'

const WORDS = {
  de: {
    title: 'Was Anbieter ablehnen, und was dann zu tun ist',
    intro: 'Aus dem Katalog des Programms gemacht (npm run docs).',
    actor: 'Wer handelt',
    scope: 'Wessen Sache',
    blocks: 'Hält an',
    receive: 'Empfang',
    send: 'Versand',
    nothing: 'nichts',
    stage: 'die Richtung, in der es auftritt',
    heals: 'Heilt von selbst',
    yes: 'ja',
    no: 'nein',
  },
  en: {
    title: 'What providers refuse, and what to do about it',
    intro: 'Made from the catalogue of the program (npm run docs).',
    actor: 'Who must act',
    scope: 'Whose matter',
    blocks: 'Stops',
    receive: 'receiving',
    send: 'sending',
    nothing: 'nothing',
    stage: 'the direction it is met in',
    heals: 'Heals by itself',
    yes: 'yes',
    no: 'no',
  },
} as const

/** One page; the order is that of the catalogue's files. */
export function handbook(language: 'de' | 'en'): string {
  const words = WORDS[language]
  return `# ${words.title}\n\n${words.intro}\n\n${flags()
    .map((entry) => section(entry, language))
    .join('\n')}`
}

function section(entry: FlagEntry, language: 'de' | 'en'): string {
  const words = WORDS[language]
  const text = entry[language]
  const { blocks } = entry
  const stops =
    blocks === 'stage' ? words.stage : blocks.map((direction) => words[direction]).join(', ') || words.nothing
  const facts = [
    `${words.actor}: ${text.actor}`,
    `${words.scope}: ${entry.scope}`,
    `${words.blocks}: ${stops}`,
    `${words.heals}: ${entry.persistence === 'transient' ? words.yes : words.no}`,
  ]
  const steps = text.steps.map((step, at) => `${at + 1}. ${step}\n`).join('')
  const link = text.link === null ? '' : `\n<${text.link}>\n`
  return `## ${text.label} (\`${entry.flag}\`)\n\n${text.meaning}\n\n${facts.map((fact) => `- ${fact}\n`).join('')}${steps === '' ? '' : `\n${steps}`}${link}`
}
