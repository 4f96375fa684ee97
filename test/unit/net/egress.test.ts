import { describe, expect, test } from 'vitest'
import { createEgress, isLoopback } from '../../../src/net/egress.ts'

describe('without a word from the operator', () => {
  test.each([
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['::1', 'loopback'],
    ['0:0:0:0:0:0:0:1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['::', 'unspecified'],
    ['10.0.0.1', 'private'],
    ['10.255.255.255', 'private'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.168.1.1', 'private'],
    ['::ffff:10.0.0.1', 'private'],
    ['::ffff:a00:1', 'private'],
    ['0:0:0:0:0:ffff:c0a8:101', 'private'],
    ['64:ff9b::10.0.0.1', 'private'],
    ['64:ff9b::c0a8:101', 'private'],
    ['fc00::1', 'private'],
    ['fdff:ffff::1', 'private'],
    ['169.254.169.254', 'cloud metadata'],
    ['::ffff:169.254.169.254', 'cloud metadata'],
    ['fd00:ec2::254', 'cloud metadata'],
    ['100.100.100.200', 'cloud metadata'],
    ['168.63.129.16', 'cloud metadata'],
    ['169.254.1.1', 'link-local'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'link-local'],
    ['100.64.0.1', 'carrier-grade NAT'],
    ['100.127.255.255', 'carrier-grade NAT'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.250', 'multicast'],
    ['ff02::1', 'multicast'],
    ['192.0.0.192', 'reserved'],
    ['198.18.0.1', 'reserved'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'reserved'],
    ['::10.0.0.1', 'reserved'],
    ['100::1', 'reserved'],
    ['::ffff:93.184.216.34', 'IPv4-mapped'],
    ['2002:a00:1::1', 'tunnel'],
    ['2001:0:1234::1', 'tunnel'],
  ])('%s is refused: %s', (address, kind) => {
    expect(createEgress([]).refuses(address)).toBe(kind)
  })

  test.each([
    '93.184.216.34',
    '9.255.255.255',
    '11.0.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '128.0.0.0',
    '169.253.255.255',
    '223.255.255.255',
    '2603:1026:2000::1',
    '2a00:1450:4001::1',
    '2001:4860:4860::8888',
    '64:ff9b::93.184.216.34',
  ])('%s is public', (address) => {
    expect(createEgress([]).refuses(address)).toBeUndefined()
  })
})

test('what the operator names may be reached, and nothing beside it', () => {
  const egress = createEgress(['10.1.0.0/16', '192.168.5.7', 'fd12::/16'])
  expect(['10.1.255.1', '192.168.5.7', '::ffff:10.1.2.3', 'fd12::5'].map((a) => egress.refuses(a))).toEqual(
    Array.from({ length: 4 }, () => undefined),
  )
  expect(['10.2.0.1', '192.168.5.8', 'fd13::5'].map((a) => egress.refuses(a))).toEqual([
    'private',
    'private',
    'private',
  ])
})

test('loopback is told from everything else', () => {
  expect(['127.8.8.8', '::1', '::ffff:127.0.0.1'].every(isLoopback)).toBe(true)
  expect(['10.0.0.1', '93.184.216.34', '::', '0.0.0.0'].some(isLoopback)).toBe(false)
})

test('a text that is no address is an error, not public', () => {
  expect(() => createEgress([]).refuses('mail.example.com')).toThrow(TypeError)
  expect(() => createEgress(['not an address'])).toThrow(TypeError)
})
