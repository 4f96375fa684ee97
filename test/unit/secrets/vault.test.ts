import { describe, expect, test } from 'vitest'
import type { Key } from '../../../src/base/config.ts'
import { UserError } from '../../../src/base/failure.ts'
import { Vault, type Place } from '../../../src/secrets/vault.ts'

const key = (id: string, fill: number): Key => ({ id, bytes: Buffer.alloc(32, fill) })
const PLACE: Place = { table: 'grants', id: 7, column: 'credential' }
const vault = new Vault([key('k1', 1)])

describe('a sealed secret', () => {
  test.each(['', 'geheim', 'pässwörd 🔑', 'x'.repeat(200_000)])('opens to what was sealed', (plain) => {
    expect(vault.open(vault.seal(plain, PLACE), PLACE)).toBe(plain)
  })

  test('looks different every time and shows nothing of the secret', () => {
    const sealed = [vault.seal('geheim', PLACE), vault.seal('geheim', PLACE)]
    expect(sealed[0]).not.toBe(sealed[1])
    expect(sealed[0]).toMatch(/^v1\.k1\.[A-Za-z0-9_-]+$/)
    expect(Buffer.from(sealed[0]?.split('.')[2] ?? '', 'base64url').toString('latin1')).not.toContain('geheim')
  })

  test.each<[string, Place]>([
    ['row', { ...PLACE, id: 8 }],
    ['column', { ...PLACE, column: 'access_token' }],
    ['table', { ...PLACE, table: 'oauth_clients' }],
  ])('does not open in another %s', (_what, elsewhere) => {
    const sealed = vault.seal('geheim', PLACE)
    expect(() => vault.open(sealed, elsewhere)).toThrow(UserError)
    expect(() => vault.open(sealed, elsewhere)).toThrow('wrong key, or the value was moved')
  })

  test('does not open when any of its bytes was changed', () => {
    const [, , base64 = ''] = vault.seal('geheim', PLACE).split('.')
    const bytes = Buffer.from(base64, 'base64url')
    for (let i = 0; i < bytes.length; i++) {
      const changed = Buffer.from(bytes)
      changed[i] = (changed[i] ?? 0) ^ 1
      expect(() => vault.open(`v1.k1.${changed.toString('base64url')}`, PLACE)).toThrow(UserError)
    }
  })

  test('does not open when it was cut, however short it is', () => {
    const bytes = Buffer.from(vault.seal('geheim', PLACE).split('.')[2] ?? '', 'base64url')
    for (let length = 0; length < bytes.length; length++) {
      expect(() => vault.open(`v1.k1.${bytes.subarray(0, length).toString('base64url')}`, PLACE)).toThrow(UserError)
    }
  })

  test.each(['', 'geheim', 'v2.k1.AAAA', '.k1.AAAA'])(
    'in an unknown form (%j) is refused, and not repeated',
    (sealed) => {
      expect(() => vault.open(sealed, PLACE)).toThrow('the secret in grants:7:credential has an unknown form')
    },
  )
})

describe('the key ring', () => {
  const older = new Vault([key('old', 2)])

  test('seals with its first key and still opens what older keys sealed', () => {
    const ring = new Vault([key('new', 3), key('old', 2)])
    expect(ring.open(older.seal('geheim', PLACE), PLACE)).toBe('geheim')
    expect(ring.seal('geheim', PLACE)).toMatch(/^v1\.new\./)
  })

  test('names the key that is missing', () => {
    expect(() => vault.open(older.seal('geheim', PLACE), PLACE)).toThrow(
      new UserError('the secret in grants:7:credential was sealed with key "old", which POSTSTELLE_KEYS does not have'),
    )
  })

  test('says that another key goes by the same id', () => {
    const impostor = new Vault([key('old', 9)])
    expect(() => impostor.open(older.seal('geheim', PLACE), PLACE)).toThrow('does not open with key "old": wrong key')
  })

  test('is refused when it is empty', () => {
    expect(() => new Vault([])).toThrow('the key ring is empty')
  })
})
