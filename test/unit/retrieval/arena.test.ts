import { describe, expect, test } from 'vitest'
import { Arena } from '../../../src/retrieval/arena.ts'

const text = (bytes: Buffer): string => bytes.toString('latin1')

describe('the memory of a batch', () => {
  test('keeps messages side by side, whatever becomes of the pieces they came in', () => {
    const arena = new Arena(10)
    const piece = Buffer.from('abc')
    arena.begin()
    expect([arena.add(piece), arena.add(Buffer.from('de'))]).toEqual([true, true])
    const first = arena.taken
    piece.fill('x')
    arena.begin()
    arena.add(Buffer.from('fgh'))
    expect([text(first), text(arena.taken)]).toEqual(['abcde', 'fgh'])
  })

  test('gives back what does not fit, and the room it took', () => {
    const arena = new Arena(10)
    arena.begin()
    arena.add(Buffer.from('abcd'))
    const first = arena.taken
    arena.begin()
    arena.add(Buffer.from('efgh'))
    expect(arena.add(Buffer.from('ijk'))).toBe(false)
    const moved = arena.moveOut()
    arena.begin()
    expect(arena.add(Buffer.from('123456'))).toBe(true)
    expect([text(first), text(moved), text(arena.taken)]).toEqual(['abcd', 'efgh', '123456'])
  })

  test('is whole again when it is cleared', () => {
    const arena = new Arena(4)
    arena.begin()
    arena.add(Buffer.from('abcd'))
    arena.clear()
    arena.begin()
    expect(arena.add(Buffer.from('wxyz'))).toBe(true)
    expect(text(arena.taken)).toBe('wxyz')
  })
})
