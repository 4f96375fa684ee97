// The interface over HTTP as a list of promises, one a line: what may be asked, what must be given, what an answer has.

interface Schema {
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly additionalProperties?: Schema | boolean
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
}

interface Operation {
  readonly parameters?: readonly { name: string; in: string; required?: boolean; schema: Schema }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { schema: Schema }>> }
  readonly responses: Readonly<Record<string, { content?: Readonly<Record<string, { schema: Schema }>> }>>
}

export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

/** Sorted. A line that begins with `takes` is of the request, one with `gives` of the answer. */
export function promisesOf({ paths }: OpenApi): string[] {
  const lines: string[] = []
  for (const [path, operations] of Object.entries(paths))
    for (const [method, operation] of Object.entries(operations)) {
      const name = `${method.toUpperCase()} ${path}`
      for (const { in: place, name: field, required, schema } of operation.parameters ?? [])
        walk(schema, `${place}.${field}`, required === true || place === 'path', (line, needed) =>
          lines.push(`${name} takes ${line}${needed ? ', needed' : ''}`),
        )
      for (const [type, { schema }] of Object.entries(operation.requestBody?.content ?? {}))
        walk(schema, type === 'application/json' ? 'body' : type, true, (line, needed) =>
          lines.push(`${name} takes ${line}${needed ? ', needed' : ''}`),
        )
      for (const [status, { content }] of Object.entries(operation.responses)) {
        // RFC 9457, the same everywhere
        if (Number(status) >= 400) {
          lines.push(`${name} gives ${status}: problem`)
          continue
        }
        for (const { schema } of Object.values(content ?? { none: { schema: {} } }))
          walk(schema, status, true, (line, always) => lines.push(`${name} gives ${line}${always ? '' : ', at times'}`))
      }
    }
  return [...new Set(lines)].toSorted()
}

function walk(schema: Schema, at: string, sure: boolean, tell: (line: string, sure: boolean) => void): void {
  const variants = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].filter(({ type }) => type !== 'null')
  if (variants.length > 0) {
    for (const variant of variants) walk(variant, at, sure && variants.length === 1, tell)
    return
  }
  for (const part of schema.allOf ?? []) walk(part, at, sure, tell)
  const types = [schema.type ?? []].flat().filter((type) => type !== 'null')
  const words = schema.enum ?? (schema.const === undefined ? [] : [schema.const])
  for (const word of words) tell(`${at} = ${JSON.stringify(word)}`, false)
  if (words.length === 0) tell(`${at}: ${types.join('|') || 'any'}`, sure)
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    walk(property, `${at}.${name}`, schema.required?.includes(name) ?? false, tell)
  if (schema.items) walk(schema.items, `${at}[]`, sure, tell)
  if (typeof schema.additionalProperties === 'object') walk(schema.additionalProperties, `${at}.*`, false, tell)
}

/**
 * What a client of `before` may fall over: a promise that is gone (but a word of an answer that is not given any more), and something
 * that is needed now and was not known to an operation that it used.
 */
export function brokenPromises(before: readonly string[], now: readonly string[]): string[] {
  const kept = new Set(now)
  const known = new Set(before)
  const operations = new Set(before.map(operationOf))
  const isKept = (line: string): boolean =>
    kept.has(line) ||
    (line.includes(' gives ') && line.includes(' = ')) ||
    // what was needed may be left out now, and what came at times may come always
    (line.includes(' takes ') && kept.has(line.replace(/, needed$/, ''))) ||
    (line.includes(' gives ') && kept.has(line.replace(/, at times$/, '')))
  return [
    ...before.filter((line) => !isKept(line)).map((line) => `gone: ${line}`),
    ...now
      .filter((line) => line.endsWith(', needed') && !known.has(line) && operations.has(operationOf(line)))
      .filter((line) => !isChild(line, now, known))
      .map((line) => `needed now: ${line}`),
  ]
}

const operationOf = (line: string): string => line.split(' ').slice(0, 2).join(' ')

/** Needed only within something that is new itself, and not needed. */
function isChild(line: string, now: readonly string[], known: ReadonlySet<string>): boolean {
  const [, place = ''] = / takes ([^:=]+)/.exec(line) ?? []
  const parents = place
    .split('.')
    .map((_, i, all) => all.slice(0, i + 1).join('.'))
    .slice(0, -1)
  return parents.some((parent) =>
    now.some(
      (other) =>
        other.startsWith(`${operationOf(line)} takes ${parent}:`) && !known.has(other) && !other.endsWith(', needed'),
    ),
  )
}
