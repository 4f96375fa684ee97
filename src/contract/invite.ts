// The link by which somebody chooses a password: made by a page or by a command.

import { DAY_MS, later, type Clock } from '../base/clock.ts'
import { publicUrl, type Config } from '../base/config.ts'
import { audit, type Actor } from '../db/audit.ts'
import type { DbOrTx } from '../db/database.ts'
import { createInvitation } from '../db/operators.ts'
import { newToken, tokenHash } from '../secrets/token.ts'
import type { InvitationJson } from './people.ts'

const INVITED_MS = 3 * DAY_MS

/** Takes the place of what was sent before; good once. */
export async function invite(
  { db, clock, config }: { db: DbOrTx; clock: Clock; config: Config },
  actor: Actor,
  { id, name }: { id: number; name: string },
): Promise<InvitationJson> {
  const secret = newToken()
  await createInvitation(db, { tokenHash: tokenHash(secret), operatorId: id, lifeMs: INVITED_MS })
  await audit(db, actor, { action: 'operator invited', object: `operator ${id}`, details: { name } })
  return {
    operator: name,
    // behind the #, which no server and no log gets to see
    url: `${publicUrl(config)}/invitation#${secret}`,
    expires_at: later(clock.now(), INVITED_MS).toISOString(),
  }
}
