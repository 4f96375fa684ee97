import { expect, test } from 'vitest'
import { heldCapabilities, launcher } from '../../../src/embedded/server-user.ts'

const status = (effective: string, bounding: string): string =>
  `Name:\tnode\nCapInh:\t0000000000000000\nCapPrm:\t${effective}\nCapEff:\t${effective}\nCapBnd:\t${bounding}\nCapAmb:\t0000000000000000\n`

test('root of a whole machine may hand the right to read past closed folders on', () => {
  expect(heldCapabilities(status('000001ffffffffff', '000001ffffffffff'))).toEqual(
    new Set(['dac_override', 'dac_read_search', 'setpcap']),
  )
})

test('root of a container has fewer rights, and what the bounding set lacks cannot be handed on', () => {
  expect(heldCapabilities(status('00000000a80425fb', '00000000a80425fb'))).toEqual(new Set(['dac_override', 'setpcap']))
  expect(heldCapabilities(status('000001ffffffffff', '0000000000000000'))).toEqual(new Set())
  expect(heldCapabilities('')).toEqual(new Set())
})

test.runIf(process.platform === 'linux')('a server run as ourselves only gets the signal that ties it to us', () => {
  const words = launcher('INT', null, null)
  expect(words.slice(0, 3)).toEqual(['setpriv', '--pdeathsig', 'INT'])
  expect(words.join(' ')).not.toMatch(/reuid|caps/)
})
