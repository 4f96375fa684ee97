// The token request of an account, made of its settings and its opened credential.

import type { Credential, TokenRequest } from '../oauth/token.ts'
import type { CredentialContext, OAuthAccount } from './context.ts'
import { openClientProof } from './sealed.ts'

export function requestOf(
  ctx: Pick<CredentialContext, 'vault'>,
  account: OAuthAccount,
  credential: Credential,
): TokenRequest {
  const { client, scope, flow } = account.auth
  return {
    provider: client.provider,
    tokenEndpoint: client.tokenEndpoint,
    clientId: client.clientId,
    proof: openClientProof(ctx.vault, client),
    scope,
    flow,
    username: account.auth.username ?? (account.pop3 ?? account.smtp)?.username ?? account.email,
    credential,
  }
}
