import { generateKeyPairSync } from 'node:crypto'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { createNet } from '../../../src/net/dial.ts'
import type { Net } from '../../../src/net/net.ts'
import { acquireToken } from '../../../src/oauth/acquire.ts'
import type { ClientProof, TokenRequest } from '../../../src/oauth/token.ts'
import { makePki, type Pki } from '../../../src/sandbox/pki.ts'
import { startTokenEndpoint, type TokenEndpoint } from '../../../src/sandbox/token-endpoint.ts'

const APP = 'robot'
const SERVICE = 'mail@project.iam.example'
const pem = (type: 'rsa' | 'ec') => {
  const { privateKey, publicKey } =
    type === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  }
}

let pki: Pki
let endpoint: TokenEndpoint
let net: Net & { close(): Promise<void> }
let certificate: { private: string; public: string; cert: string }
const ec = pem('ec')
const service = pem('rsa')

beforeAll(async () => {
  pki = await makePki()
  certificate = await generate([{ name: 'commonName', value: 'robot' }], { keySize: 2048, algorithm: 'sha256' })
  const common = { clientSecret: null, flows: ['client_credentials'] } as const
  endpoint = await startTokenEndpoint({
    tls: { key: pki.keyPem, cert: pki.certPem },
    accounts: [
      {
        ...common,
        email: 'a@contoso.example',
        tenant: 'contoso.example',
        clientId: APP,
        publicKeyPem: certificate.public,
      },
      { ...common, email: 'b@sso.example', tenant: 'generic', clientId: APP, publicKeyPem: ec.publicKeyPem },
      {
        ...common,
        email: 'box@workspace.example',
        tenant: 'google',
        clientId: SERVICE,
        publicKeyPem: service.publicKeyPem,
      },
    ],
  })
  net = createNet({
    allowPrivate: ['127.0.0.1/32'],
    extraCaPem: pki.caPem,
    lookup: async () => [{ address: '127.0.0.1', family: 4 }],
  })
})
afterAll(async () => {
  await net.close()
  await endpoint.close()
})

const ask = (changes: Partial<TokenRequest> & { proof: ClientProof }) =>
  acquireToken(
    net,
    {
      provider: 'microsoft',
      tokenEndpoint: endpoint.tokenUrl('contoso.example'),
      clientId: APP,
      scope: 'https://outlook.office365.com/.default',
      flow: 'client_credentials',
      username: '',
      credential: {},
      ...changes,
    },
    { clock: { now: () => new Date() } },
  )
const refused = (asked: Promise<unknown>): Promise<unknown> =>
  asked.then(
    () => 'issued',
    (error: unknown) => (error instanceof Failure ? error.flag : error),
  )

describe('an app that signs in place of telling a secret', () => {
  const byCertificate = (): ClientProof => ({
    kind: 'certificate',
    certificatePem: certificate.cert,
    privateKeyPem: certificate.private,
  })

  test('gets its token from Microsoft', async () => {
    const { accessToken } = await ask({ proof: byCertificate() })
    expect(endpoint.check(accessToken)?.scopes).toEqual(['POP.AccessAsApp', 'SMTP.SendAsApp'])
    expect(endpoint.requests.at(-1)?.withClientSecret).toBe(false)
  })

  test('is refused with the key of another certificate, by that name', async () => {
    const other = await generate([{ name: 'commonName', value: 'other' }], { keySize: 2048, algorithm: 'sha256' })
    const proof: ClientProof = { kind: 'certificate', certificatePem: other.cert, privateKeyPem: other.private }
    expect(await refused(ask({ proof }))).toBe('client_certificate_invalid')
  })

  test('gets its token from any other server, with a key on a curve as well', async () => {
    const proof: ClientProof = { kind: 'certificate', certificatePem: '', privateKeyPem: ec.privateKeyPem }
    const { accessToken } = await ask({
      provider: 'generic',
      tokenEndpoint: endpoint.tokenUrl('generic'),
      scope: 'mail',
      proof,
    })
    expect(endpoint.check(accessToken)?.clientId).toBe(APP)
  })
})

describe('a Google service account', () => {
  const proof = (): ClientProof => ({
    kind: 'service_account',
    clientEmail: SERVICE,
    keyId: 'k1',
    privateKeyPem: service.privateKeyPem,
  })
  const about = () =>
    ({
      provider: 'google',
      tokenEndpoint: endpoint.tokenUrl('google'),
      clientId: SERVICE,
      scope: 'https://mail.google.com/',
      flow: 'service_account',
      username: 'box@workspace.example',
    }) as const

  test('gets a token in the name of a mailbox', async () => {
    const { accessToken, credential } = await ask({ ...about(), proof: proof() })
    expect(endpoint.check(accessToken)?.email).toBe('box@workspace.example')
    expect(credential).toEqual({})
  })

  test('is refused with another key', async () => {
    const other: ClientProof = {
      kind: 'service_account',
      clientEmail: SERVICE,
      keyId: 'k1',
      privateKeyPem: pem('rsa').privateKeyPem,
    }
    expect(await refused(ask({ ...about(), proof: other }))).toBe('refresh_token_revoked')
  })
})
