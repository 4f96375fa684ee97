// Seals everything anew with the first key of the ring, value by value, while the service works on. It may be broken off anywhere:
// what is sealed anew stays so, and the next run goes on with the rest.

import { UserError } from '../base/failure.ts'
import type { Db } from '../db/database.ts'
import { countSealedByKey, replaceSealed, SEALED_PLACES, sealedByOthers, type SealedPlace } from '../db/sealed.ts'
import type { Vault } from '../secrets/vault.ts'

const PAGE = 200
/** A process that does not know the new key yet seals with the old one: looked for again, but not for ever. */
const ROUNDS = 3

export interface Rotation {
  /** Sealed anew. */
  readonly done: number
  /** What does not open stays as it is: places, and why. */
  readonly unreadable: readonly string[]
  /** Keys of the ring that seal nothing any more. */
  readonly unused: readonly string[]
}

/** `progress` is told after every page how many of how many values the first key seals. */
export async function rotateKeys(
  { db, vault }: { db: Db; vault: Vault },
  progress: (sealed: number, total: number) => void,
): Promise<Rotation> {
  const unreadable = new Map<string, string>()
  const counts = await countSealedByKey(db)
  const total = [...counts.values()].reduce((sum, n) => sum + n, 0)
  let sealed = counts.get(vault.primaryKeyId) ?? 0
  let done = 0
  for (let round = 0, more = true; round < ROUNDS && more; round++) {
    more = false
    for (const place of SEALED_PLACES) {
      for await (const changed of pages(db, vault, place, unreadable)) {
        done += changed
        sealed += changed
        more ||= changed > 0
        progress(Math.min(sealed, total), total)
      }
    }
  }
  const left = await countSealedByKey(db)
  return {
    done,
    unreadable: [...unreadable.values()],
    unused: vault.keyIds.filter((id) => id !== vault.primaryKeyId && !left.has(id)),
  }
}

async function* pages(
  db: Db,
  vault: Vault,
  place: SealedPlace,
  unreadable: Map<string, string>,
): AsyncGenerator<number> {
  for (let after = 0; ;) {
    const page = await sealedByOthers(db, place, vault.primaryKeyId, after, PAGE)
    let changed = 0
    for (const value of page) {
      const at = { table: place.table, id: value.id, column: place.name }
      try {
        if (await replaceSealed(db, place, value, vault.seal(vault.open(value.sealed, at), at))) changed += 1
      } catch (error) {
        if (!(error instanceof UserError)) throw error
        unreadable.set(`${place.table} ${place.column} ${value.id}`, error.message)
      }
    }
    yield changed
    const last = page.at(-1)
    if (!last || page.length < PAGE) return
    after = last.id
  }
}
