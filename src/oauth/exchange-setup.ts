// The commands by which Exchange Online lets an app registration into mailboxes, with all ids filled in. Pure.
// learn.microsoft.com, "Authenticate an IMAP, POP or SMTP connection using OAuth"; reference of the cmdlets named here.

export interface MailboxToOpen {
  readonly email: string
  readonly receives: boolean
  readonly sends: boolean
}

export interface ExchangeSetup {
  readonly tokenEndpoint: string
  readonly clientId: string
  /** Object id of the enterprise application, as a token of the app says it; undefined: the script looks it up. */
  readonly objectId: string | undefined
  readonly mailboxes: readonly MailboxToOpen[]
}

/** Exchange environments of the national clouds; the global one needs no name. */
const ENVIRONMENTS: Readonly<Record<string, string>> = {
  'login.microsoftonline.us': 'O365USGovGCCHigh',
  'login.partner.microsoftonline.cn': 'O365China',
}
const GRAPH: Readonly<Record<string, string>> = {
  'login.microsoftonline.us': 'USGov',
  'login.partner.microsoftonline.cn': 'China',
}

const quoted = (text: string): string => `'${text.replace(/['\u2018\u2019\u201a\u201b]/g, '$&$&')}'`

/** Each line may be run again: what is there already is left alone, or set to the same. */
export function exchangeScript({ tokenEndpoint, clientId, objectId, mailboxes }: ExchangeSetup): string {
  const { host, pathname } = new URL(tokenEndpoint)
  const tenant = pathname.split('/')[1] ?? ''
  const lines = [
    `# App registration ${clientId}, tenant ${tenant}. To be run by an Exchange administrator of this tenant.`,
    '# Install-Module ExchangeOnlineManagement   # once',
    `Connect-ExchangeOnline${named('ExchangeEnvironmentName', ENVIRONMENTS[host])}`,
    '',
    ...idLines(clientId, objectId, GRAPH[host]),
    '',
    'if (-not (Get-ServicePrincipal | Where-Object { $_.AppId -eq $appId })) {',
    '  New-ServicePrincipal -AppId $appId -ObjectId $objectId -DisplayName "Poststelle"',
    '}',
    ...mailboxes.flatMap(mailboxLines),
  ]
  return `${lines.join('\n')}\n`
}

const named = (parameter: string, value: string | undefined): string => (value ? ` -${parameter} ${value}` : '')

/** The object id of the app registration would be taken as well, and then every login refused. */
function idLines(clientId: string, objectId: string | undefined, graph: string | undefined): string[] {
  const appId = `$appId = ${quoted(clientId)}`
  if (objectId !== undefined)
    return [appId, `$objectId = ${quoted(objectId)}   # of the enterprise application, not of the app registration`]
  return [
    '# Install-Module Microsoft.Graph.Applications   # once',
    appId,
    `Connect-MgGraph -Scopes Application.Read.All${named('Environment', graph)}`,
    '$objectId = (Get-MgServicePrincipal -Filter "appId eq \'$appId\'").Id',
  ]
}

function mailboxLines({ email, receives, sends }: MailboxToOpen): string[] {
  const mailbox = quoted(email)
  const switches = [
    ...(receives ? ['-PopEnabled $true'] : []),
    ...(sends ? ['-SmtpClientAuthenticationDisabled $false'] : []),
  ]
  return [
    '',
    `Add-MailboxPermission -Identity ${mailbox} -User $objectId -AccessRights FullAccess`,
    ...(sends
      ? [`Add-RecipientPermission -Identity ${mailbox} -Trustee $objectId -AccessRights SendAs -Confirm:$false`]
      : []),
    `Set-CASMailbox -Identity ${mailbox} ${switches.join(' ')}`,
  ]
}
