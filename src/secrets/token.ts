// What cookies, links and programs prove themselves with: only the hash is kept.

import { createHash, randomBytes } from 'node:crypto'

/** 256 bits. */
export const newToken = (): string => randomBytes(32).toString('base64url')

/** What is as random as these needs no slow hash. */
export const tokenHash = (token: string): Buffer => createHash('sha256').update(token).digest()
