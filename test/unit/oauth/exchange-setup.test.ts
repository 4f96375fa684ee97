import { describe, expect, test } from 'vitest'
import { exchangeScript, type ExchangeSetup } from '../../../src/oauth/exchange-setup.ts'

const setup: ExchangeSetup = {
  tokenEndpoint: 'https://login.microsoftonline.com/6b29fc40-ca47-1067-b31d-00dd010662da/oauth2/v2.0/token',
  clientId: '11111111-2222-3333-4444-555555555555',
  objectId: '99999999-8888-7777-6666-555555555555',
  mailboxes: [{ email: 'info@firma.example', receives: true, sends: true }],
}

describe('the script for an Exchange administrator', () => {
  test('has every id filled in', () => {
    expect(exchangeScript(setup))
      .toBe(`# App registration 11111111-2222-3333-4444-555555555555, tenant 6b29fc40-ca47-1067-b31d-00dd010662da. To be run by an Exchange administrator of this tenant.
# Install-Module ExchangeOnlineManagement   # once
Connect-ExchangeOnline

$appId = '11111111-2222-3333-4444-555555555555'
$objectId = '99999999-8888-7777-6666-555555555555'   # of the enterprise application, not of the app registration

if (-not (Get-ServicePrincipal | Where-Object { $_.AppId -eq $appId })) {
  New-ServicePrincipal -AppId $appId -ObjectId $objectId -DisplayName "Poststelle"
}

Add-MailboxPermission -Identity 'info@firma.example' -User $objectId -AccessRights FullAccess
Add-RecipientPermission -Identity 'info@firma.example' -Trustee $objectId -AccessRights SendAs -Confirm:$false
Set-CASMailbox -Identity 'info@firma.example' -PopEnabled $true -SmtpClientAuthenticationDisabled $false
`)
  })

  test('looks the object id up where no token has told it, so that nobody copies the wrong one', () => {
    const script = exchangeScript({ ...setup, objectId: undefined })
    expect(script).toContain('$objectId = (Get-MgServicePrincipal -Filter "appId eq \'$appId\'").Id\n')
    expect(script).not.toContain('99999999')
  })

  test('opens no more than the account does', () => {
    const script = exchangeScript({ ...setup, mailboxes: [{ email: 'a@firma.example', receives: true, sends: false }] })
    expect(script).toContain("Set-CASMailbox -Identity 'a@firma.example' -PopEnabled $true\n")
    expect(script).not.toMatch(/SendAs|Smtp/)
  })

  test.each([
    ['login.microsoftonline.us', 'O365USGovGCCHigh', 'USGov'],
    ['login.partner.microsoftonline.cn', 'O365China', 'China'],
  ])('speaks to the cloud of %s', (host, exchange, graph) => {
    const script = exchangeScript({
      ...setup,
      objectId: undefined,
      tokenEndpoint: `https://${host}/firma.example/oauth2/v2.0/token`,
    })
    expect(script).toContain(`Connect-ExchangeOnline -ExchangeEnvironmentName ${exchange}\n`)
    expect(script).toContain(`Application.Read.All -Environment ${graph}\n`)
  })

  test('quotes what an address may hold', () => {
    const script = exchangeScript({
      ...setup,
      mailboxes: [{ email: "o'neil@firma.example", receives: true, sends: false }],
    })
    expect(script).toContain("-Identity 'o''neil@firma.example' ")
  })
})
