// What a message is found by: words of subject, addresses, attachment names and text, in German, English and as they stand; and the
// words of sender, recipients and subject under the names of their fields.

import { sql } from 'kysely'
import type { Db } from './database.ts'

export interface Searchable {
  readonly id: number
  readonly bodyText: string | null
  readonly attachments: readonly { readonly name: string }[]
}

/** Of the text; a vector holds a megabyte at most. */
const SEARCHED_CHARS = 200_000

/** Made before the transaction that stores them: stemming takes longer than anything else in it. By message id. */
export async function searchVectors(db: Db, batch: readonly Searchable[]): Promise<ReadonlyMap<number, string>> {
  try {
    return await vectors(db, batch, SEARCHED_CHARS)
  } catch (error) {
    if (!tooLong(error)) throw error
  }
  const found = new Map<number, string>()
  for (const message of batch) {
    for (let chars = SEARCHED_CHARS; !found.has(message.id) && chars > 100; chars = Math.floor(chars / 4)) {
      const one = await vectors(db, [message], chars).catch((error: unknown) => {
        if (!tooLong(error)) throw error
        return new Map<number, string>()
      })
      for (const [id, vector] of one) found.set(id, vector)
    }
  }
  return found
}

/** program_limit_exceeded */
const tooLong = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === '54000'

async function vectors(db: Db, batch: readonly Searchable[], chars: number): Promise<ReadonlyMap<number, string>> {
  const { rows } = await sql<{ id: number; vector: string }>`
    select w.id, (setweight(to_tsvector('german', h.subject) || to_tsvector('english', h.subject) || to_tsvector('simple', h.subject), 'A')
      || setweight(to_tsvector('simple', h.people), 'B')
      || setweight(to_tsvector('german', w.names) || to_tsvector('simple', w.names), 'C')
      || setweight(to_tsvector('german', w.body) || to_tsvector('english', w.body) || to_tsvector('simple', w.body), 'D')
      || poststelle.search_fields(m.from_name, m.from_address, m.to_addresses, m.subject))::text as vector
    from unnest(${batch.map(({ id }) => id)}::bigint[], ${batch.map(namesOf)}::text[],
        ${batch.map(({ bodyText }) => (bodyText ?? '').slice(0, chars).toWellFormed())}::text[]) w (id, names, body)
      join poststelle.messages m on m.id = w.id
      cross join lateral (select coalesce(m.subject, '') as subject,
        concat_ws(' ', m.from_name, m.from_address, m.to_addresses) as people) h`.execute(db)
  return new Map(rows.map((row) => [row.id, row.vector]))
}

/** A name is found by its words as well, and by itself. */
const namesOf = ({ attachments }: Searchable): string =>
  attachments
    .slice(0, 1_000)
    .map(({ name }) => `${name} ${name.replace(/[_.-]+/g, ' ')}`)
    .join('\n')
