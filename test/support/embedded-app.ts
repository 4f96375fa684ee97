// A process that opens the embedded Postgres of a folder, says so in one line of JSON, and stays until it is killed.

import { openEmbeddedPostgres } from '../../src/embedded/postgres.ts'

const { url, startedHere, serverPid } = await openEmbeddedPostgres(process.argv[2] ?? '')
console.log(JSON.stringify({ url, startedHere, serverPid }))
process.stdin.resume()
