// What an account lives on, by its fingerprint; a new password, or a new sign-in by browser or by a link for the owner.

import { Alert, Button, Group, PasswordInput, Stack, Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import type { AccountDetailJson } from '../../../src/contract/accounts.ts'
import { ask, useChange } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { useMay } from '../person.ts'
import { Copyable, Facts, ProblemNote } from './basics.tsx'

const BY_A_PERSON = ['authorization_code', 'device_code']

export function Credentials({ account }: { account: AccountDetailJson }) {
  const t = useT()
  const format = useFormat()
  const may = useMay('admin')
  const { auth, credential } = account
  const when = (at: string | null): string | null => at && format.dateTime(at)
  return (
    <Stack maw={760}>
      <Text size="sm" c="dimmed">
        {t.account.secretsNever}
      </Text>
      <Facts
        rows={[
          [t.account.fingerprint, credential.fingerprint && <span className="mono">{credential.fingerprint}</span>],
          [t.account.grantedAt, when(credential.granted_at)],
          [
            t.account.grantedBy,
            auth.type === 'password'
              ? t.wizard.flows['basic']?.[0]
              : (t.wizard.flows[auth.flow ?? '']?.[0] ?? auth.flow),
          ],
          [t.wizard.endpoint, auth.token_endpoint && <span className="mono">{auth.token_endpoint}</span>],
          [t.wizard.clientId, auth.client_id && <span className="mono">{auth.client_id}</span>],
          [t.wizard.scope, auth.scope && <span className="mono">{auth.scope}</span>],
          [t.account.refreshedAt, when(credential.refreshed_at)],
          [t.account.accessExpires, when(credential.access_expires_at)],
          [t.account.refreshExpires, when(credential.refresh_expires_at)],
          [t.accounts.secret, when(account.app?.secret_expires_at ?? null)],
        ]}
      />
      {may && (auth.type === 'password' || auth.flow === 'password') && <NewPassword account={account} />}
      {may && auth.flow !== null && BY_A_PERSON.includes(auth.flow) && <SignIn account={account} />}
    </Stack>
  )
}

function NewPassword({ account }: { account: AccountDetailJson }) {
  const t = useT()
  const [password, setPassword] = useState('')
  const save = useChange(
    () => ask('PATCH', `accounts/${account.id}`, { auth: { password } }).then(() => setPassword('')),
    ['accounts'],
  )
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        save.mutate(undefined)
      }}
    >
      <Group align="flex-end">
        <PasswordInput
          label={t.account.newPassword}
          description={t.account.newPasswordHint}
          value={password}
          onChange={(e) => setPassword(e.currentTarget.value)}
          autoComplete="off"
          required
          w={320}
        />
        <Button type="submit" loading={save.isPending}>
          {t.common.save}
        </Button>
      </Group>
      {save.error && <ProblemNote error={save.error} />}
      {save.isSuccess && (
        <Alert color="green" mt="sm">
          {t.account.saved}
        </Alert>
      )}
    </form>
  )
}

export function SignIn({ account }: { account: Pick<AccountDetailJson, 'id' | 'email'> }) {
  const t = useT()
  const [pasted, setPasted] = useState('')
  const begin = useChange(() => ask<{ url: string }>('POST', `accounts/${account.id}/sign-in`, {}), [])
  const link = useChange(() => ask<{ url: string }>('POST', `accounts/${account.id}/sign-in/link`, {}), [])
  const paste = useChange(() => ask<{ account: string }>('POST', 'sign-in/paste', { address: pasted }), ['accounts'])
  return (
    <Stack gap="sm">
      <Group>
        <Button
          loading={begin.isPending}
          onClick={() =>
            void begin.mutateAsync(undefined).then(({ url }) => window.open(url, '_blank', 'noopener,noreferrer'))
          }
        >
          {t.account.signInHere}
        </Button>
        <Button variant="default" loading={link.isPending} onClick={() => link.mutate(undefined)}>
          {t.account.signInLink}
        </Button>
      </Group>
      {[begin.error, link.error].map((error) => error && <ProblemNote key={error.message} error={error} />)}
      {begin.data && <Copyable text={begin.data.url} label={t.account.signInHere} />}
      {link.data && (
        <>
          <Text size="sm">{t.account.signInLinkText}</Text>
          <Copyable text={link.data.url} label={t.account.signInLink} />
        </>
      )}
      {begin.data && (
        <form
          onSubmit={(event) => {
            event.preventDefault()
            paste.mutate(undefined)
          }}
        >
          <Group align="flex-end">
            <TextInput
              label={t.account.signInPaste}
              value={pasted}
              onChange={(e) => setPasted(e.currentTarget.value)}
              style={{ flex: 1 }}
              required
            />
            <Button type="submit" variant="default" loading={paste.isPending}>
              {t.common.next}
            </Button>
          </Group>
          {paste.error && <ProblemNote error={paste.error} />}
          {paste.data && (
            <Alert color="green" mt="sm">
              {t.account.signedIn(paste.data.account)}
            </Alert>
          )}
        </form>
      )}
    </Stack>
  )
}
