// Which addresses may be dialled at all. Everything that is not public is refused unless the operator named it, so that a
// host name in an account or a token URL cannot be used to reach the inside of a network. RFC 6890, 4193, 6598, 6052.

import { BlockList, isIP } from 'node:net'

export interface Egress {
  /** What kind of non-public address this is; undefined: it may be dialled. Throws for a text that is no address. */
  refuses(address: string): string | undefined
}

/** First match wins. */
const KINDS: readonly (readonly [kind: string, ...networks: string[]])[] = [
  ['cloud metadata', '169.254.169.254/32', '168.63.129.16/32', '100.100.100.200/32', 'fd00:ec2::254/128'],
  ['loopback', '127.0.0.0/8', '::1/128'],
  ['unspecified', '0.0.0.0/8', '::/128'],
  ['private', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', 'fec0::/10'],
  ['carrier-grade NAT', '100.64.0.0/10'],
  ['link-local', '169.254.0.0/16', 'fe80::/10'],
  ['multicast', '224.0.0.0/4', 'ff00::/8'],
  ['reserved', '192.0.0.0/24', '198.18.0.0/15', '240.0.0.0/4'],
]
/** Of IPv6 only these are public, except for tunnels: they lead to IPv4 addresses that cannot be seen. */
const PUBLIC_IPV6 = ['2000::/3', '64:ff9b::/96']
const TUNNELS = ['2001::/32', '2002::/16']
/** Below this prefix stands the IPv4 address that a NAT64 gateway connects to (RFC 6052). */
const NAT64 = '64:ff9b::'

const kinds = KINDS.map(([kind, ...networks]) => [kind, blockList(networks.flatMap(withNat64))] as const)
const publicIpv6 = blockList(PUBLIC_IPV6)
const tunnels = blockList(TUNNELS)
// Asked about IPv6 addresses only: a BlockList would also match every IPv4 address with it.
const mapped = blockList(['::ffff:0:0/96'])

export const isLoopback = (address: string): boolean => kindOf(address) === 'loopback'

/** `allow` holds addresses and networks (CIDR). Throws for a text that is neither. */
export function createEgress(allow: readonly string[]): Egress {
  const allowed = blockList(allow)
  return {
    refuses: (address) => (allowed.check(withoutZone(address), family(address)) ? undefined : kindOf(address)),
  }
}

function kindOf(text: string): string | undefined {
  const address = withoutZone(text)
  const version = family(address)
  // A BlockList looks through ::ffff:a.b.c.d, so that a mapped address gets the kind of the one it hides.
  const named = kinds.find(([, list]) => list.check(address, version))?.[0]
  if (named !== undefined || version === 'ipv4') return named
  if (mapped.check(address, version)) return 'IPv4-mapped'
  if (tunnels.check(address, version)) return 'tunnel'
  return publicIpv6.check(address, version) ? undefined : 'reserved'
}

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', prefix] = network.split('/')
    if (prefix === undefined) list.addAddress(address, family(address))
    else list.addSubnet(address, Number(prefix), family(address))
  }
  return list
}

function withNat64(network: string): string[] {
  const [address = '', prefix] = network.split('/')
  return isIP(address) === 4 ? [network, `${NAT64}${address}/${96 + Number(prefix)}`] : [network]
}

const withoutZone = (address: string): string => address.split('%')[0] ?? ''

function family(address: string): 'ipv4' | 'ipv6' {
  const version = isIP(address)
  if (version === 0) throw new TypeError(`"${address}" is not an IP address`)
  return version === 6 ? 'ipv6' : 'ipv4'
}
