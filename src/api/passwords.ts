// Passwords of operators: argon2id (RFC 9106) in the form of the PHC string.

import { argon2 as argon2Callback, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

const argon2 = promisify(argon2Callback)

/** OWASP's first choice: 19 MiB, two passes; about 60 ms. */
const MEMORY_KIB = 19_456
const PASSES = 2
const SALT_BYTES = 16
const HASH_BYTES = 32
export const SHORTEST_PASSWORD = 12
export const LONGEST_PASSWORD = 200

const derive = async (password: string, salt: Buffer, memory: number, passes: number): Promise<Buffer> =>
  await argon2('argon2id', {
    message: Buffer.from(password.normalize('NFKC')),
    nonce: salt,
    parallelism: 1,
    tagLength: HASH_BYTES,
    memory,
    passes,
  })

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const hash = await derive(password, salt, MEMORY_KIB, PASSES)
  const [saltText, hashText] = [salt, hash].map((bytes) => bytes.toString('base64').replace(/=+$/, ''))
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=1$${saltText}$${hashText}`
}

/** Takes as long for somebody who does not exist. */
export async function isPassword(password: string, stored: string | null | undefined): Promise<boolean> {
  const [, memory = String(MEMORY_KIB), passes = String(PASSES), salt = 'AAAAAAAAAAAAAAAAAAAAAA', hash = ''] =
    /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=1\$([\w+/]+)\$([\w+/]+)$/.exec(stored ?? '') ?? []
  const derived = await derive(password, Buffer.from(salt, 'base64'), Number(memory), Number(passes))
  const expected = Buffer.from(hash, 'base64')
  return expected.length === derived.length && timingSafeEqual(expected, derived)
}
