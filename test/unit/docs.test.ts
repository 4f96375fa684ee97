// The written part of the repository against the tree it describes: links, commands, options, columns, settings, states,
// folders and packages.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { SETTINGS } from '../../src/base/config.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { runProgram } from '../../src/cli/program.ts'

const repo = join(import.meta.dirname, '..', '..')
const read = (path: string): string => readFileSync(join(repo, path), 'utf8')
const filesIn = (folder: string, ending: string): string[] =>
  readdirSync(join(repo, folder))
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => join(folder, name))

const DOCUMENTS = ['.', 'docs', 'docs/adr'].flatMap((folder) => filesIn(folder, '.md'))

/** A document without its code blocks. */
const prose = (markdown: string): string => markdown.replaceAll(/^```[^]*?^```$/gm, '')

/** The anchors GitHub makes of headings. */
const anchors = (markdown: string): string[] =>
  [...prose(markdown).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )

/** What stands under a heading, up to the next one of the same or a higher level. */
function section(markdown: string, heading: string): string {
  const start = markdown.split('\n').indexOf(heading)
  if (start < 0) throw new Error(`there is no heading "${heading}"`)
  const level = heading.indexOf(' ')
  const rest = markdown.split('\n').slice(start + 1)
  const end = rest.findIndex((line) => /^#+ /.test(line) && line.indexOf(' ') <= level)
  return rest.slice(0, end < 0 ? undefined : end).join('\n')
}

/** What the first column of the first table in a text names. */
function firstColumn(text: string): string[] {
  const [table = ''] = /(?:^\|.*\n)+/m.exec(`${text}\n`) ?? []
  return [...table.matchAll(/^\| `([^`]+)`/gm)].map(([, name = '']) => name)
}

const brokenLinks = (document: string): string[] =>
  [...prose(read(document)).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .filter((target) => {
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? document : relative(repo, join(repo, dirname(document), path))
      if (!existsSync(join(repo, file))) return true
      return anchor !== undefined && !anchors(read(file)).includes(anchor)
    })

test.each(DOCUMENTS)('every link in %s leads somewhere', (document) => {
  expect(brokenLinks(document)).toEqual([])
})

const unused = (): never => {
  throw new Error('help needs no installation')
}

/** What `poststelle ... --help` prints. */
async function help(words: readonly string[]): Promise<string> {
  let printed = ''
  const exitCode = await runProgram([...words, '--help'], {
    version: '0',
    terminal: {
      isTTY: false,
      columns: 200,
      errIsTTY: false,
      inIsTTY: false,
      ask: unused,
      out: (text) => void (printed += text),
      write: unused,
      err: unused,
      abort: unused,
      stdin: unused,
      stopSignal: unused,
    },
    readConfig: unused,
    createLogger: () => silentLogger,
    openInstallation: unused,
    startService: unused,
  })
  expect(exitCode).toBe(0)
  return printed
}

interface HelpPage {
  readonly command: string
  readonly options: readonly string[]
}

/** Every command that does something of its own, with the options its help lists. */
async function helpPages(words: readonly string[] = []): Promise<HelpPage[]> {
  const [about = '', list] = (await help(words)).split('\nCommands:\n')
  const commands = [...(list ?? '').matchAll(/^ {2}(\w[\w-]*)/gm)].flatMap(([, name = '']) =>
    name === 'help' ? [] : [name],
  )
  if (commands.length > 0) return (await Promise.all(commands.map((name) => helpPages([...words, name])))).flat()
  const options = [...about.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, name = '']) => name)
  return [{ command: ['poststelle', ...words].join(' '), options: options.filter((name) => name !== '--help') }]
}

const COMMON_OPTIONS = ['--json', '--lang']

describe('docs/cli.md', async () => {
  const text = read('docs/cli.md')
  const pages = await helpPages()

  test('describes every command, and no other', () => {
    const described = [...text.matchAll(/^## (poststelle .+)$/gm)].map(([, command = '']) => command)
    expect(described.toSorted()).toEqual(pages.map(({ command }) => command).toSorted())
    expect(pages.length).toBeGreaterThan(8)
  })

  test.each(pages)('describes every option of $command', ({ command, options }) => {
    const about = section(text, `## ${command}`)
    expect(options.filter((option) => !new RegExp(`${option}\\b`).test(about))).toEqual([])
    const named = [...about.matchAll(/^\| `(--[\w-]+)/gm)].map(([, name = '']) => name)
    expect(named.filter((name) => !options.includes(name))).toEqual([])
  })

  test.each(COMMON_OPTIONS)('explains %s once for all commands', (option) => {
    expect(text.split('\n## ')[0]).toContain(`\`${option}`)
  })
})

/** Cuts at commas outside of parentheses and quotes. */
function listItems(list: string): string[] {
  const items = ['']
  let depth = 0
  for (const [token] of list.matchAll(/'(?:[^']|'')*'|[^']/g)) {
    if (token === '(') depth++
    if (token === ')') depth--
    if (token === ',' && depth === 0) items.push('')
    else items.push(`${items.pop()}${token}`)
  }
  return items.map((item) => item.trim())
}

/** What is selected before the `from` of the view itself. */
function selectList(query: string): string {
  let depth = 0
  for (const { 0: token, index } of query.matchAll(/'(?:[^']|'')*'|[()]|\bfrom\b/g)) {
    if (token === '(') depth++
    if (token === ')') depth--
    if (token === 'from' && depth === 0) return query.slice(0, index)
  }
  throw new Error(`there is no "from" in: ${query}`)
}

const migrations = filesIn('migrations', '.sql')
  .filter((file) => /\/\d{4}_/.test(file))
  .map(read)
  .join('\n')
  .replaceAll(/--.*$/gm, '')

/** Columns by view; of a view that was made anew the last form counts. */
const views = new Map(
  [...migrations.matchAll(/create (?:or replace )?view poststelle\.(\w+) as\s+select\s([^;]+);/g)].map(
    ([, view = '', query = '']) => [view, listItems(selectList(query)).map((item) => /(\w+)$/.exec(item)?.[1] ?? item)],
  ),
)

describe('docs/sql.md', () => {
  const text = read('docs/sql.md')

  test('knows the views that applications may read', () => {
    const names = [...migrations.matchAll(/grant select on ([^;]+) to poststelle_app/g)].flatMap(([, granted = '']) =>
      granted.split(',').map((name) => name.trim().replace('poststelle.', '')),
    )
    expect(names.toSorted()).toEqual([...views.keys()].toSorted())
    expect(names.length).toBeGreaterThan(0)
  })

  test.each([...views])('describes every column of the view %s, in its order', (view, columns) => {
    expect(firstColumn(section(text, `## ${view}`))).toEqual(columns)
  })

  test('describes every parameter of submit_message, in its order', () => {
    const [, list = ''] =
      /create (?:or replace )?function poststelle\.submit_message\(([^]*?)\)\s*returns/.exec(migrations) ?? []
    const parameters = listItems(list).map((item) => item.split(/\s/)[0])
    expect(firstColumn(section(text, '## submit_message'))).toEqual(parameters)
  })
})

/** The values a check in the migrations allows: `marker` is the text before the list. */
function allowed(marker: RegExp): string[] {
  const [, list = ''] = new RegExp(`${marker.source}\\s*\\(([^)]+)\\)`).exec(migrations) ?? []
  return [...list.matchAll(/'(\w+)'/g)].map(([, value = '']) => value)
}

describe('docs/outbound.md', () => {
  const text = read('docs/outbound.md')

  test('explains every state of a message and of a recipient', () => {
    expect(firstColumn(section(text, '## States'))).toEqual(allowed(/default 'queued' check \(state in/))
    expect(firstColumn(section(text, '## Recipients'))).toEqual(allowed(/default 'pending' check \(state in/))
  })

  test('explains every policy for uncertain messages', () => {
    expect(firstColumn(section(text, '## Uncertain'))).toEqual(allowed(/check \(uncertain_policy in/))
  })
})

test('docs/configuration.md describes every setting, and no other', () => {
  expect(firstColumn(section(read('docs/configuration.md'), '## Settings'))).toEqual(Object.keys(SETTINGS))
})

test('docs/architecture.md names every folder of the source, and no other', () => {
  const named = [...read('docs/architecture.md').matchAll(/^\| \S+ +\| `src\/(\w+)`/gm)].map(
    ([, folder = '']) => folder,
  )
  const folders = readdirSync(join(repo, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory())
  expect(named.toSorted()).toEqual(folders.map(({ name }) => name).toSorted())
})

test('every package has a line that says why it is used, and no line is left over', () => {
  const names = z.record(z.string(), z.string()).default({})
  const manifest = z.object({
    dependencies: names,
    optionalDependencies: names,
    devDependencies: names,
    overrides: names,
  })
  const used = Object.values(manifest.parse(JSON.parse(read('package.json')))).flatMap((group) => Object.keys(group))
  const lines = read('docs/adr/0008-dependencies.md').match(/^- `.+(?:\n {2}\S.*)*/gm) ?? []
  const explained = lines.flatMap((line) =>
    [...(line.split(': ')[0] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
  )
  expect(explained.toSorted()).toEqual(used.toSorted())
})
