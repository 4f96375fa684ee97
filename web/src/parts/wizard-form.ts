// What the wizard collects, and the account that it makes of it.

type Security = 'tls' | 'starttls' | 'none'
export interface HostInput {
  host: string
  port: number
  security: Security
  username: string
}

export interface Form {
  email: string
  label: string
  preset: string
  flow: string
  app: string
  tenant: string
  endpoint: string
  clientId: string
  clientSecret: string
  secretExpires: string
  scope: string
  username: string
  password: string
  refreshToken: string
  receive: boolean
  send: boolean
  pop3: HostInput
  smtp: HostInput
  firstSync: string
}

export const NEW = 'new'
export const GUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i

/** Client ID and tenant ID out of the text of the overview page of an app registration, in German or English. */
export function idsIn(text: string): { clientId?: string; tenant?: string } {
  const behind = (label: RegExp): string | undefined => {
    const at = text.search(label)
    return at < 0 ? undefined : GUID.exec(text.slice(at))?.[0]
  }
  const clientId = behind(/(?:Anwendungs-ID|Application) ?\(?(?:Client|client)?/i)
  const tenant = behind(/(?:Verzeichnis-ID|Directory)/i)
  return { ...(clientId && { clientId }), ...(tenant && { tenant }) }
}

export const endpointOf = ({ endpoint, tenant }: Form): string =>
  tenant === '' ? endpoint : endpoint.replace('{tenant}', tenant)

/** As the account file says it; the server checks it all. */
export function accountOf(form: Form): object {
  const host = (at: HostInput): object => ({ ...at, username: at.username || form.email })
  const app =
    form.app === NEW
      ? {
          token_endpoint: endpointOf(form),
          client_id: form.clientId,
          client_secret: form.clientSecret === '' ? null : form.clientSecret,
          ...(form.secretExpires !== '' && { client_secret_expires_at: form.secretExpires }),
        }
      : { app: Number(form.app) }
  return {
    email: form.email,
    label: form.label,
    pop3: form.receive ? host(form.pop3) : null,
    smtp: form.send ? host(form.smtp) : null,
    first_sync: form.firstSync,
    ...(form.firstSync === 'last_days' && { first_sync_days: 30 }),
    auth:
      form.flow === 'basic'
        ? { type: 'password', password: form.password }
        : {
            type: 'oauth2',
            flow: form.flow,
            ...app,
            scope: form.scope,
            ...(form.flow === 'password' && { password: form.password }),
            ...(form.flow === 'refresh_token' && { refresh_token: form.refreshToken }),
          },
  }
}
