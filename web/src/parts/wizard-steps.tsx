// Two parts of the wizard: a new app registration, and the check at the end.

import { Alert, Button, PasswordInput, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { Link } from 'wouter'
import type { ImportAnswer } from '../../../src/contract/accounts.ts'
import type { ClientJson } from '../../../src/contract/clients.ts'
import { useGet } from '../api.ts'
import { useT } from '../i18n/index.ts'
import { Copyable } from './basics.tsx'
import { TestRun } from './connection-test.tsx'
import { SignIn } from './credentials.tsx'
import { endpointOf, GUID, idsIn, NEW, type Form } from './wizard-form.ts'

export function NewApp({
  form,
  isMicrosoft,
  onChange,
}: {
  form: Form
  isMicrosoft: boolean
  onChange: (fields: Partial<Form>) => void
}) {
  const t = useT()
  return (
    <>
      {isMicrosoft && (
        <>
          <Textarea
            label={t.wizard.paste}
            description={t.wizard.pasteHint}
            autosize
            minRows={1}
            maxRows={4}
            onChange={(e) => onChange(idsIn(e.currentTarget.value))}
          />
          <TextInput
            label={t.wizard.tenant}
            description={t.wizard.tenantHint}
            value={form.tenant}
            onChange={(e) => onChange({ tenant: e.currentTarget.value.trim() })}
            required={/\{tenant\}/.test(form.endpoint)}
          />
        </>
      )}
      <TextInput
        label={t.wizard.endpoint}
        value={endpointOf(form)}
        readOnly={isMicrosoft && form.tenant !== ''}
        onChange={(e) => onChange({ endpoint: e.currentTarget.value })}
        required
      />
      <TextInput
        label={t.wizard.clientId}
        value={form.clientId}
        onChange={(e) => onChange({ clientId: e.currentTarget.value })}
        required
      />
      <PasswordInput
        label={t.wizard.clientSecret}
        description={t.wizard.clientSecretHint}
        value={form.clientSecret}
        onChange={(e) => onChange({ clientSecret: e.currentTarget.value })}
        autoComplete="off"
        error={new RegExp(`^${GUID.source}$`, 'i').test(form.clientSecret) ? t.wizard.clientSecretHint : undefined}
        required={form.flow === 'client_credentials'}
      />
      {form.clientSecret !== '' && (
        <TextInput
          type="date"
          label={t.wizard.secretExpires}
          value={form.secretExpires}
          onChange={(e) => onChange({ secretExpires: e.currentTarget.value })}
        />
      )}
    </>
  )
}

export function Check({ saved, form }: { saved: ImportAnswer['accounts'][number]; form: Form }) {
  const t = useT()
  const byPerson = form.flow === 'authorization_code' || form.flow === 'device_code'
  const apps = useGet<ClientJson[]>('clients', form.flow === 'client_credentials' ? 'clients' : null)
  const app = apps.data?.find((one) =>
    form.app === NEW ? one.client_id === form.clientId.trim() : String(one.id) === form.app,
  )
  const script = useGet<{ script: string }>(
    'clients',
    app?.provider === 'microsoft' ? `clients/${app.id}/powershell` : null,
  )
  return (
    <Stack>
      {saved.notes.length > 0 && (
        <Alert color="blue" variant="light" title={t.wizard.notes}>
          {saved.notes.map((note) => (
            <Text size="sm" key={note}>
              {note}
            </Text>
          ))}
        </Alert>
      )}
      {byPerson && (
        <>
          <Text>{t.wizard.signInNow}</Text>
          <SignIn account={saved} />
        </>
      )}
      {script.data && (
        <>
          <Text>{t.wizard.exchange}</Text>
          <Copyable text={script.data.script} label={t.wizard.exchange} />
        </>
      )}
      <TestRun account={saved} auto />
      <Button component={Link} href={`/accounts/${saved.id}`} variant="default" style={{ alignSelf: 'flex-start' }}>
        {t.wizard.done}
      </Button>
    </Stack>
  )
}
