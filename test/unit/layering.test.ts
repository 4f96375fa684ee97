// The floors of the house: imports go down only. Reads nothing but the import lines.

import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'

const SRC = path.join(import.meta.dirname, '../../src')

/** Ground first. Folders on one floor do not know each other. */
const FLOORS = [
  ['base'],
  ['net', 'message', 'secrets', 'db', 'failures', 'embedded'],
  ['pop3', 'smtp', 'oauth', 'health'],
  ['sandbox'],
  ['credentials'],
  ['accounts', 'retrieval', 'delivery'],
  ['contract', 'notify'],
  ['jobs'],
  ['workers', 'api', 'cli'],
  ['compose.ts'],
  ['main.ts'],
]
const floorOf = (part: string): number => FLOORS.findIndex((floor) => floor.includes(part))

interface Import {
  /** Relative to src, with slashes: 'db/lanes.ts'. */
  readonly file: string
  /** The folder of the file, or the file itself where it lies in src. */
  readonly from: string
  /** A file relative to src, or the name of a package. */
  readonly target: string
  /** Folder or file of the target; '' for a package. */
  readonly to: string
  readonly typeOnly: boolean
}

const part = (file: string): string => file.split('/')[0] ?? ''
const files = globSync('**/*.ts', { cwd: SRC })
  .map((file) => file.replaceAll(path.sep, '/'))
  .toSorted()

const IMPORT =
  /^(?:import|export)\s+(?<type>type\s)?(?:[^'"`;]*?\sfrom\s+)?'(?<static>[^']+)'|\bimport\(\s*['"`](?<dynamic>[^'"`]+)/gm
const imports: readonly Import[] = files.flatMap((file) =>
  [...readFileSync(path.join(SRC, file), 'utf8').matchAll(IMPORT)].map(({ groups = {} }) => {
    const name = groups.static ?? groups.dynamic ?? ''
    const relative = name.startsWith('.')
    const target = relative ? path.posix.normalize(path.posix.join(path.posix.dirname(file), name)) : name
    return { file, from: part(file), target, to: relative ? part(target) : '', typeOnly: groups.type !== undefined }
  }),
)
const inside = imports.filter(({ to }) => to !== '')
const lines = (broken: readonly Import[]): string[] => broken.map(({ file, target }) => `${file} imports ${target}`)
const isPackage = (target: string, name: string): boolean => target === name || target.startsWith(`${name}/`)

describe('the floors of src', () => {
  test('are read from its import lines at all', () => {
    expect(files.length).toBeGreaterThan(50)
    expect(inside).toContainEqual({
      file: 'main.ts',
      from: 'main.ts',
      target: 'base/config.ts',
      to: 'base',
      typeOnly: false,
    })
    expect(inside).toContainEqual({
      file: 'delivery/drain-lane.ts',
      from: 'delivery',
      target: 'db/outbound.ts',
      to: 'db',
      typeOnly: false,
    })
    expect(inside.filter(({ target }) => !files.includes(target) && !target.endsWith('.json'))).toEqual([])
  })

  test('have a place for every folder', () => {
    expect([...new Set(files.map(part))].filter((name) => floorOf(name) < 0)).toEqual([])
  })

  test('are left downward only: nothing imports what stands above it', () => {
    expect(lines(inside.filter(({ from, to }) => floorOf(to) > floorOf(from)))).toEqual([])
  })

  test('have walls: folders side by side do not import each other', () => {
    expect(lines(inside.filter(({ from, to }) => to !== from && floorOf(to) === floorOf(from)))).toEqual([])
  })

  test('have no circles, not even of types', () => {
    expect(circles()).toEqual([])
  })
})

describe('what only some may do', () => {
  test('the sandbox knows base, and of net and oauth the types: it must not agree with the code it tests', () => {
    const allowed = ({ to, typeOnly }: Import): boolean =>
      ['sandbox', 'base'].includes(to) || (['net', 'oauth'].includes(to) && typeOnly)
    expect(lines(inside.filter((line) => line.from === 'sandbox' && !allowed(line)))).toEqual([])
  })

  test('only base/config.ts reads the environment', () => {
    expect(
      files.filter((file) =>
        /process\s*(?:\.|\[')env\b|env\b.*from 'node:process'/.test(readFileSync(path.join(SRC, file), 'utf8')),
      ),
    ).toEqual(['base/config.ts'])
  })

  test('SQL lives in db; besides it only the queue’s own migration and the embedded server talk to Postgres', () => {
    const sql = imports.filter(({ target }) =>
      ['kysely', 'pg', 'pg-copy-streams', 'pg-cursor'].some((name) => isPackage(target, name)),
    )
    const allowed = ({ file, from, target }: Import): boolean =>
      from === 'db' || (target === 'pg' && (file === 'jobs/queues.ts' || from === 'embedded'))
    expect(lines(sql.filter((line) => !allowed(line)))).toEqual([])
  })

  test('protocols know no database and no queue', () => {
    const protocols = imports.filter(({ from }) => ['pop3', 'smtp', 'oauth', 'net'].includes(from))
    expect(
      lines(protocols.filter(({ to, target }) => to === 'db' || to === 'jobs' || isPackage(target, 'bullmq'))),
    ).toEqual([])
  })

  test('only jobs, workers, the API and who puts them together know the queues', () => {
    const queues = imports.filter(
      ({ to, target }) =>
        to === 'jobs' || ['bullmq', '@bull-board/api', '@bull-board/fastify'].some((name) => isPackage(target, name)),
    )
    expect(lines(queues.filter(({ from }) => !['jobs', 'workers', 'api', 'compose.ts'].includes(from)))).toEqual([])
  })

  test('the API opens no mail connection', () => {
    expect(lines(imports.filter(({ from, to }) => from === 'api' && ['pop3', 'smtp', 'oauth'].includes(to)))).toEqual(
      [],
    )
  })
})

/** Circles of files, each as one line that begins and ends with the same file. */
function circles(): string[] {
  const targets = Map.groupBy(inside, ({ file }) => file)
  const done = new Set<string>()
  const found: string[] = []
  const walk = (file: string, trail: readonly string[]): void => {
    const start = trail.indexOf(file)
    if (start >= 0) found.push([...trail.slice(start), file].join(' -> '))
    if (start >= 0 || done.has(file)) return
    for (const { target } of targets.get(file) ?? []) walk(target, [...trail, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
  return found
}
