import { expect, test } from 'vitest'
import { splitSearch } from '../../../src/db/inbox.ts'

test.each([
  ['rechnung', 'rechnung', ''],
  ['rechnung -mahnung', 'rechnung', 'mahnung'],
  ['-a "b c" -"d e" f', '"b c"   f', 'a or "d e"'],
  ['well-known e-mail', 'well-known e-mail', ''],
  ['-x', '', 'x'],
  ['- x', '- x', ''],
])('in %j wanted and unwanted words are told apart', (words, wanted, unwanted) => {
  expect(splitSearch(words)).toEqual({ wanted, unwanted })
})
