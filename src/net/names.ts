// Names and their addresses, remembered for a short while: thousands of maildrops lie behind a few hosts, and every look-up of the
// system's resolver occupies one of the process's four threads. Failures are not remembered.

import { MINUTE_MS } from '../base/clock.ts'

export interface ResolvedAddress {
  readonly address: string
  readonly family: number
}

export type Lookup = (name: string) => Promise<readonly ResolvedAddress[]>

export interface Names {
  /** Rejects with what the resolver says. */
  resolve: Lookup
  /** A connection to this address was made: next time it is tried first, before one that does not answer. */
  worked(name: string, address: string): void
  /** None of its addresses could be connected to: they are looked up anew. */
  failed(name: string): void
}

const MAX_NAMES = 1_000

interface Known {
  addresses: Promise<readonly ResolvedAddress[]>
  readonly until: number
}

/** `now` in milliseconds, on a clock that only goes forward. */
export function rememberNames(lookup: Lookup, keepMs = MINUTE_MS, now = (): number => performance.now()): Names {
  const known = new Map<string, Known>()

  const begin = (name: string): Promise<readonly ResolvedAddress[]> => {
    const addresses = lookup(name)
    const entry = { addresses, until: now() + keepMs }
    known.delete(name)
    known.set(name, entry)
    const [oldest] = known.keys()
    if (known.size > MAX_NAMES && oldest !== undefined) known.delete(oldest)
    const forget = (): void => {
      if (known.get(name) === entry) known.delete(name)
    }
    addresses.then((found) => found.length === 0 && forget(), forget)
    return addresses
  }

  return {
    resolve: (name) => {
      const entry = known.get(name)
      return entry && now() < entry.until ? entry.addresses : begin(name)
    },
    worked: (name, address) => {
      const entry = known.get(name)
      if (!entry) return
      entry.addresses = entry.addresses.then((found) =>
        found[0]?.address === address
          ? found
          : [...found.filter((one) => one.address === address), ...found.filter((one) => one.address !== address)],
      )
    },
    failed: (name) => known.delete(name),
  }
}
