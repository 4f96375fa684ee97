import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AddressError, checkAddress } from '../../../src/smtp/envelope.ts'
import { ADDRESS_CASES, ADDRESS_PIECES } from '../../support/address-corpus.ts'
import { freshDatabase, type TestDatabase } from '../../support/database.ts'
import { mulberry32 } from '../../support/random.ts'

const sendable = (address: string): boolean => {
  try {
    checkAddress(address)
    return true
  } catch (error) {
    if (error instanceof AddressError) return false
    throw error
  }
}

describe('what is accepted as an address', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await freshDatabase()
  })
  afterAll(() => database.drop())

  const accepted = async (addresses: readonly string[]): Promise<boolean[]> => {
    const { rows } = await sql<{ plain: boolean }>`
      select poststelle.is_plain_address(a) as plain from unnest(${[...addresses]}::text[]) with ordinality t (a, n) order by n`.execute(
      database.db,
    )
    return rows.map((row) => row.plain)
  }

  test('SQL and SMTP judge the corpus alike', async () => {
    const found = await accepted(ADDRESS_CASES.map(({ address }) => address))
    expect(ADDRESS_CASES.map(({ address }, i) => ({ address, plain: found[i] }))).toEqual(
      ADDRESS_CASES.map(({ address, plain }) => ({ address, plain })),
    )
    expect(
      ADDRESS_CASES.filter(({ address, plain, wireOnly }) => sendable(address) !== (plain || wireOnly === true)),
    ).toEqual([])
  })

  test('whatever SQL accepts can be sent', async () => {
    const random = mulberry32(20_261_126)
    const piece = (): string => ADDRESS_PIECES[Math.floor(random() * ADDRESS_PIECES.length)] ?? ''
    const word = (most: number): string => Array.from({ length: 1 + Math.floor(random() * most) }, piece).join('')
    const addresses = Array.from({ length: 30_000 }, () => `${word(3)}@${word(5)}`)
    const found = await accepted(addresses)
    const passed = addresses.filter((_, i) => found[i])
    expect(passed.length).toBeGreaterThan(1_000)
    expect(passed.filter((address) => /[^\u0000-\u007f]/.test(address)).length).toBeGreaterThan(300)
    expect(passed.filter((address) => !sendable(address))).toEqual([])
  })

  test('every letter that SQL accepts in a mailbox name or a domain can be sent', async () => {
    // of the tens of thousands of Han and Hangul characters some are enough
    const many = (point: number): boolean => (point >= 0x3400 && point < 0xd7a4) || point > 0xffff
    const letters = Array.from({ length: 0x30000 }, (_, i) => i)
      .filter((point) => point >= 0x80 && (point < 0xd800 || point > 0xdfff) && (!many(point) || point % 97 === 0))
      .map((point) => String.fromCodePoint(point))
    const names = letters.map((letter) => `a${letter}@example.test`)
    const inNames = await accepted(names)
    expect(names.filter((name, i) => inNames[i] && !sendable(name))).toEqual([])
    // other scripts than those of planes 1 and 3 are not left out
    expect(names.filter((name, i) => !inNames[i] && sendable(name) && (name.codePointAt(1) ?? 0) < 0x10000)).toEqual([])
    for (const domains of [letters.map((l) => `a@${l}.test`), letters.map((l) => `a@a${l}a.test`)]) {
      const inDomains = await accepted(domains)
      expect(inDomains.filter(Boolean).length).toBeGreaterThan(1_000)
      expect(domains.filter((domain, i) => inDomains[i] && !sendable(domain))).toEqual([])
    }
  })
})
