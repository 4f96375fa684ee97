import { expect, test } from 'vitest'
import { parsePostmasterPid } from '../../../src/embedded/running-server.ts'

const file = (status: string): string =>
  `4711\n/var/lib/poststelle/postgres\n1795000000\n54321\n\n127.0.0.1\n  1234567    98304\n${status}\n`

test.each(['ready', 'stopping', 'starting'])('a server that is %s says so, with its pid and port', (status) => {
  expect(parsePostmasterPid(file(`${status}   `))).toEqual({ pid: 4711, port: 54_321, status })
})

test('a file written only in part is a server that is starting', () => {
  expect(parsePostmasterPid('4711\n/var/lib/poststelle/postgres\n')).toEqual({ pid: 4711, port: 0, status: 'starting' })
})

test.each(['', '\n', 'garbage\n', '-1\n', '0\n', '1.5\n'])(
  'a file that names no process names no server: %j',
  (text) => {
    expect(parsePostmasterPid(text)).toBeNull()
  },
)
