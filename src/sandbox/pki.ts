// A certificate authority and one server certificate for the provider simulator, made in memory for a few days:
// nothing is read from or written to disk, and no openssl program is needed.

import { isIP } from 'node:net'
import { generate } from 'selfsigned'

const VALID_DAYS = 30
const EC_P256 = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const

export interface Pki {
  /** What a client must trust. */
  readonly caPem: string
  readonly keyPem: string
  /** The server's certificate followed by the CA's. */
  readonly certPem: string
}

/** Certificates for localhost, 127.0.0.1, ::1 and the given host names or addresses. */
export async function makePki(names: readonly string[] = []): Promise<Pki> {
  // A day back, so that a peer whose clock lags still accepts it.
  const notBeforeDate = new Date(Date.now() - 24 * 3_600_000)
  const notAfterDate = new Date(Date.now() + VALID_DAYS * 24 * 3_600_000)
  const validity = { notBeforeDate, notAfterDate, ...EC_P256 }

  const ca = await generate([{ name: 'commonName', value: 'Poststelle sandbox CA' }], {
    ...validity,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  })
  const hosts = [...new Set(['localhost', '127.0.0.1', '::1', ...names])]
  const server = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...validity,
    ca: { key: ca.private, cert: ca.cert },
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: hosts.map((host) => (isIP(host) ? { type: 7, ip: host } : { type: 2, value: host })),
      },
    ],
  })
  return { caPem: ca.cert, keyPem: server.private, certPem: `${server.cert.trimEnd()}\n${ca.cert}` }
}
