// If-Match (RFC 9110 section 13.1.1): somebody else may have changed what is about to be changed since it was shown.

import type { FastifyRequest } from 'fastify'
import { Refused } from './problems.ts'

/** Throws `changed_meanwhile` unless the tag is one of those the request names; one that names none is let through. */
export function requireMatch(request: FastifyRequest, etag: string): void {
  const given = request.headers['if-match']
  if (given === undefined || given === '*') return
  if (given.replace(/^W\//, '').replaceAll('"', '') !== etag) throw new Refused('changed_meanwhile')
}
