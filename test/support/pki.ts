// A certificate authority and a server certificate for localhost, made afresh for each run.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { removeFolder, tempFolder } from './child.ts'

export interface Pki {
  /** PEM. */
  readonly ca: string
  readonly cert: string
  readonly key: string
  /** For programs that want the authority as a file (NODE_EXTRA_CA_CERTS); written when first asked for, removed by stop. */
  readonly caFile: string
  stop(): Promise<void>
}

export interface PkiOptions {
  /** Besides localhost and 127.0.0.1. */
  readonly names?: readonly string[]
  /** In place of all of these. */
  readonly hosts?: readonly string[]
  readonly expired?: boolean
  /** Of the certificate; 'server' unless said otherwise. */
  readonly purpose?: 'server' | 'client'
}

/** Valid for localhost and 127.0.0.1 and for `names`, unless it is to be worse. */
export async function makePki(o: PkiOptions = {}): Promise<Pki> {
  const common = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const
  const authority = await generate([{ name: 'commonName', value: 'Poststelle test authority' }], {
    ...common,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  })
  const dayMs = 86_400_000
  const server = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...common,
    ca: { key: authority.private, cert: authority.cert },
    notBeforeDate: new Date(Date.now() - 2 * dayMs),
    notAfterDate: new Date(Date.now() + (o.expired ? -dayMs : 365 * dayMs)),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', ...(o.purpose === 'client' ? { clientAuth: true } : { serverAuth: true }) },
      {
        name: 'subjectAltName',
        altNames: [
          ...(o.hosts ?? ['localhost', ...(o.names ?? [])]).map((value) => ({ type: 2 as const, value })),
          ...(o.hosts ? [] : [{ type: 7 as const, ip: '127.0.0.1' }]),
        ],
      },
    ],
  })
  let folder: string | undefined
  return {
    ca: authority.cert,
    cert: server.cert,
    key: server.private,
    get caFile() {
      folder ??= tempFolder('pki')
      const file = join(folder, 'ca.pem')
      writeFileSync(file, authority.cert)
      return file
    },
    stop: () => Promise.resolve(folder === undefined ? undefined : removeFolder(folder)),
  }
}
