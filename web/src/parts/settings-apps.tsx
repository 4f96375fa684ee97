// App registrations: whose secret lasts until when, and a new one, proven before it is used.

import { Alert, Button, Group, Modal, Paper, PasswordInput, Stack, Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import type { ClientJson } from '../../../src/contract/clients.ts'
import type { RunwayItemJson } from '../../../src/contract/runway.ts'
import { ask, useChange, useGet } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { useMay } from '../person.ts'
import { Copyable, Empty, Facts, Loaded, ProblemNote } from './basics.tsx'
import { ExpiryRuler } from './charts.tsx'

interface SecretAnswer {
  readonly state: 'promoted' | 'refused' | 'unproven' | 'waiting'
  readonly accounts: number
  readonly label: string | null
  readonly evidence: string | null
}

export function Apps() {
  const t = useT()
  const clients = useGet<ClientJson[]>('clients', 'clients')
  const runway = useGet<RunwayItemJson[]>('clients', 'runway')
  return (
    <Stack>
      {runway.data && runway.data.length > 0 && <ExpiryRuler items={runway.data} />}
      <Loaded query={clients}>
        {(data) =>
          data.length === 0 ? (
            <Empty>{t.settings.noApps}</Empty>
          ) : (
            data.map((client) => <App key={client.id} client={client} />)
          )
        }
      </Loaded>
    </Stack>
  )
}

function App({ client }: { client: ClientJson }) {
  const t = useT()
  const format = useFormat()
  const may = useMay('admin')
  const [replacing, setReplacing] = useState(false)
  const [label, setLabel] = useState(client.label)
  const [expires, setExpires] = useState(client.secret_expires_at?.slice(0, 10) ?? '')
  const save = useChange(
    () =>
      ask('PATCH', `clients/${client.id}`, {
        ...(label.trim() !== '' && { label }),
        secret_expires_on: expires === '' ? null : expires,
      }),
    ['clients'],
  )
  const forget = useChange(() => ask('DELETE', `clients/${client.id}/next-secret`), ['clients'])
  const script = useChange(() => ask<{ script: string }>('GET', `clients/${client.id}/powershell`), [])
  return (
    <Paper withBorder p="md" component="section" aria-label={client.label || client.client_id}>
      <Group justify="space-between" mb="xs">
        <Text fw={650}>{client.label || client.client_id}</Text>
        {may && (
          <Group gap="xs">
            {client.proof !== 'service_account' && (
              <Button size="xs" onClick={() => setReplacing(true)}>
                {t.settings.replaceClientSecret}
              </Button>
            )}
            {client.provider === 'microsoft' && (
              <Button size="xs" variant="default" onClick={() => script.mutate(undefined)}>
                {t.settings.powershell}
              </Button>
            )}
          </Group>
        )}
      </Group>
      {client.refused && (
        <Alert color="red" variant="light" mb="xs">
          <span className="mono anywhere">{client.refused.evidence}</span>
        </Alert>
      )}
      {client.next && (
        <Alert color="yellow" variant="light" mb="xs">
          <Group justify="space-between">
            {t.settings.waitingSecret}
            {may && (
              <Button size="compact-xs" variant="default" onClick={() => forget.mutate(undefined)}>
                {t.settings.forget}
              </Button>
            )}
          </Group>
        </Alert>
      )}
      <Facts
        rows={[
          [
            t.wizard.clientId,
            <span key="c" className="mono">
              {client.client_id}
            </span>,
          ],
          [
            t.wizard.endpoint,
            <span key="e" className="mono">
              {client.token_endpoint}
            </span>,
          ],
          [t.overview.accounts, format.number(client.accounts)],
          [t.account.fingerprint, client.fingerprint && <span className="mono">{client.fingerprint}</span>],
          [t.settings.expires, client.secret_expires_at ? format.day(client.secret_expires_at) : t.common.unknown],
        ]}
      />
      {may && (
        <form
          onSubmit={(event) => {
            event.preventDefault()
            save.mutate(undefined)
          }}
        >
          <Group align="flex-end" mt="sm">
            <TextInput label={t.account.label} value={label} onChange={(e) => setLabel(e.currentTarget.value)} />
            <TextInput
              type="date"
              label={t.settings.expires}
              value={expires}
              onChange={(e) => setExpires(e.currentTarget.value)}
            />
            <Button type="submit" variant="default" loading={save.isPending}>
              {t.common.save}
            </Button>
          </Group>
        </form>
      )}
      {[save.error, forget.error, script.error].map(
        (error) => error && <ProblemNote key={error.message} error={error} />,
      )}
      {script.data && <Copyable text={script.data.script} label={t.settings.powershell} />}
      {replacing && <Replace client={client} onClose={() => setReplacing(false)} />}
    </Paper>
  )
}

function Replace({ client, onClose }: { client: ClientJson; onClose: () => void }) {
  const t = useT()
  const [secret, setSecret] = useState('')
  const [expires, setExpires] = useState('')
  const save = useChange(
    () =>
      ask<SecretAnswer>('POST', `clients/${client.id}/secret`, { secret, expires_on: expires === '' ? null : expires }),
    ['clients', 'accounts', 'incidents'],
  )
  const told =
    save.data &&
    {
      promoted: t.settings.promoted(save.data.accounts),
      refused: t.settings.refusedSecret,
      unproven: t.settings.unproven,
      waiting: t.settings.waitingSecret,
    }[save.data.state]
  return (
    <Modal
      opened
      onClose={onClose}
      title={`${t.settings.clientSecret}: ${client.label || client.client_id}`}
      closeButtonProps={{ 'aria-label': t.common.close }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate(undefined)
        }}
      >
        <Stack>
          <Text size="sm">{t.settings.replaceSecretText}</Text>
          <PasswordInput
            label={t.wizard.clientSecret}
            description={t.wizard.clientSecretHint}
            value={secret}
            onChange={(e) => setSecret(e.currentTarget.value)}
            autoComplete="off"
            required
            data-autofocus
          />
          <TextInput
            type="date"
            label={t.wizard.secretExpires}
            value={expires}
            onChange={(e) => setExpires(e.currentTarget.value)}
          />
          {save.error && <ProblemNote error={save.error} />}
          {save.data && (
            <Alert color={save.data.state === 'promoted' ? 'green' : 'red'} title={told}>
              {save.data.label}
              {save.data.evidence && <div className="mono anywhere">{save.data.evidence}</div>}
            </Alert>
          )}
          <Button type="submit" loading={save.isPending}>
            {t.settings.replaceSecret}
          </Button>
        </Stack>
      </form>
    </Modal>
  )
}
