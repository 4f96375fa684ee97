// Who is told of what happens, outside of the mail that it is about.

import {
  Alert,
  Button,
  Checkbox,
  Group,
  PasswordInput,
  Paper,
  Select,
  Stack,
  Table,
  Text,
  TextInput,
  Title,
} from '@mantine/core'
import { useState } from 'react'
import type { DeliveryJson, TargetJson } from '../../../src/contract/notify.ts'
import { ask, useChange, useGet, type Page } from '../api.ts'
import { useFormat, useLanguage, useT } from '../i18n/index.ts'
import { useMay } from '../person.ts'
import { Age, Copyable, Empty, Facts, Loaded, ProblemNote, Chip, Scroll } from './basics.tsx'
import { ConfirmButton } from './confirm-button.tsx'

export function Notices() {
  const t = useT()
  const may = useMay('admin')
  const targets = useGet<TargetJson[]>('still', 'notify', { every: 5_000 })
  return (
    <Stack>
      <Text c="dimmed">{t.notify.text}</Text>
      <Loaded query={targets}>
        {(data) =>
          data.length === 0 ? (
            <Empty>{t.notify.none}</Empty>
          ) : (
            data.map((target) => <Target key={target.id} target={target} />)
          )
        }
      </Loaded>
      {may && <NewTarget />}
    </Stack>
  )
}

function Target({ target }: { target: TargetJson }) {
  const t = useT()
  const mayTest = useMay('operator')
  const may = useMay('admin')
  const [shown, setShown] = useState(false)
  const test = useChange(() => ask('POST', `notify/${target.id}/test`, {}), ['still'])
  const flip = useChange(() => ask('PATCH', `notify/${target.id}`, { enabled: !target.enabled }), ['still'])
  const remove = useChange(() => ask('DELETE', `notify/${target.id}`), ['still'])
  const renew = useChange(() => ask<{ secret: string }>('POST', `notify/${target.id}/secret`, {}), ['still'])
  return (
    <Paper withBorder p="md" component="section" aria-label={target.label}>
      <Group justify="space-between" mb="xs">
        <Group gap="xs">
          <Text fw={650}>{target.label}</Text>
          <Chip>{target.enabled ? t.notify.kinds[target.kind] : t.notify.off}</Chip>
        </Group>
        <Group gap="xs">
          {mayTest && (
            <Button
              size="xs"
              variant="default"
              loading={test.isPending}
              onClick={() => test.mutate(undefined)}
              aria-label={`${t.notify.test}: ${target.label}`}
            >
              {t.notify.test}
            </Button>
          )}
          {may && target.kind === 'webhook' && (
            <ConfirmButton
              size="xs"
              variant="default"
              label={t.notify.renew}
              of={target.label}
              text={t.notify.renewText}
              onConfirm={() => renew.mutateAsync(undefined)}
            />
          )}
          {may && (
            <Button
              size="xs"
              variant="default"
              onClick={() => flip.mutate(undefined)}
              aria-label={`${target.enabled ? t.notify.switchOff : t.notify.switchOn}: ${target.label}`}
            >
              {target.enabled ? t.notify.switchOff : t.notify.switchOn}
            </Button>
          )}
          {may && (
            <ConfirmButton
              size="xs"
              variant="outline"
              color="red"
              label={t.common.remove}
              of={target.label}
              text={t.notify.removeText}
              danger
              onConfirm={() => remove.mutateAsync(undefined)}
            />
          )}
        </Group>
      </Group>
      {[test.error, flip.error, remove.error, renew.error].map(
        (error) => error && <ProblemNote key={error.message} error={error} />,
      )}
      {renew.data && <Copyable text={renew.data.secret} label={t.notify.secret} />}
      {target.disabled_reason && <Alert color="gray">{target.disabled_reason}</Alert>}
      <Facts
        rows={[
          [
            t.notify.address,
            <span key="a" className="mono">
              {target.address}
            </span>,
          ],
          [t.notify.to, target.to.join(', ')],
          [t.notify.events, target.events.join(', ')],
          [t.notify.lastOk, <Age key="o" at={target.last_ok_at} />],
          [
            t.notify.lastError,
            target.last_error_at && (
              <span key="e">
                <Age at={target.last_error_at} />: <span className="mono">{target.last_error}</span>
              </span>
            ),
          ],
          [t.notify.waiting, target.waiting === 0 ? null : String(target.waiting)],
        ]}
      />
      <Button size="compact-xs" variant="subtle" mt="xs" onClick={() => setShown(!shown)} aria-expanded={shown}>
        {t.notify.deliveries}
      </Button>
      {shown && <Deliveries id={target.id} />}
    </Paper>
  )
}

function Deliveries({ id }: { id: number }) {
  const t = useT()
  const format = useFormat()
  const may = useMay('operator')
  const deliveries = useGet<Page<DeliveryJson>>('still', `notify/${id}/deliveries?limit=20`, { every: 3_000 })
  const replay = useChange(
    (delivery: number) => ask('POST', `notify/${id}/deliveries/${delivery}/replay`, {}),
    ['still'],
  )
  return (
    <Loaded query={deliveries}>
      {({ items }) => (
        <Scroll minWidth={560}>
          <Table aria-label={t.notify.deliveries}>
            <Table.Tbody>
              {items.map((one) => (
                <Table.Tr key={one.id}>
                  <Table.Td>{format.dateTime(one.created_at)}</Table.Td>
                  <Table.Td>{one.type}</Table.Td>
                  <Table.Td>{t.notify.states[one.state] ?? one.state}</Table.Td>
                  <Table.Td className="cell">{[one.last_status, one.last_error].filter(Boolean).join(' ')}</Table.Td>
                  <Table.Td>
                    {may && one.state !== 'waiting' && (
                      <Button
                        size="compact-xs"
                        variant="default"
                        onClick={() => replay.mutate(one.id)}
                        aria-label={`${t.notify.replay} ${one.id}`}
                      >
                        {t.notify.replay}
                      </Button>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Scroll>
      )}
    </Loaded>
  )
}

function NewTarget() {
  const t = useT()
  const language = useLanguage()
  const [kind, setKind] = useState<string>('webhook')
  const [label, setLabel] = useState('')
  const [address, setAddress] = useState('')
  const [security, setSecurity] = useState<string>('starttls')
  const [from, setFrom] = useState('')
  const [to, setTo] = useState('')
  const [username, setUsername] = useState('')
  const [password, setPassword] = useState('')
  const [mail, setMail] = useState(false)
  const [digest, setDigest] = useState(false)
  const make = useChange(() => {
    const events = ['incident.*', ...(mail ? ['outbox.*', 'message.*'] : [])]
    const about = { kind, label, address }
    if (kind === 'heartbeat') return ask<{ secret: string | null }>('POST', 'notify', about)
    return ask<{ secret: string | null }>('POST', 'notify', {
      ...about,
      events,
      language,
      digest,
      ...(kind === 'mail' && {
        security,
        from,
        to: to.split(/[,;\s]+/).filter(Boolean),
        ...(username !== '' && { username, password }),
      }),
    })
  }, ['still'])
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        make.mutate(undefined)
      }}
    >
      <Title order={2} size="h5" mb="xs">
        {t.notify.add}
      </Title>
      <Stack maw={620}>
        <Group grow>
          <Select
            label={t.notify.kind}
            value={kind}
            allowDeselect={false}
            data={(['webhook', 'mail', 'command', 'heartbeat'] as const).map((value) => ({
              value,
              label: t.notify.kinds[value] ?? value,
            }))}
            onChange={(value) => setKind(value ?? 'webhook')}
          />
          <TextInput label={t.account.label} value={label} onChange={(e) => setLabel(e.currentTarget.value)} required />
        </Group>
        {kind === 'command' && <Commands address={address} onChange={setAddress} />}
        <TextInput
          display={kind === 'command' ? 'none' : undefined}
          label={kind === 'mail' ? t.notify.relay : t.notify.address}
          placeholder={kind === 'mail' ? 'relay.example.com:587' : 'https://'}
          value={address}
          onChange={(e) => setAddress(e.currentTarget.value)}
          required
        />
        {kind === 'mail' && (
          <>
            <Group grow>
              <Select
                label={t.account.security}
                value={security}
                allowDeselect={false}
                data={[
                  { value: 'starttls', label: t.account.starttls },
                  { value: 'tls', label: t.account.tls },
                ]}
                onChange={(value) => setSecurity(value ?? 'starttls')}
              />
              <TextInput
                type="email"
                label={t.inbox.from}
                value={from}
                onChange={(e) => setFrom(e.currentTarget.value)}
                required
              />
            </Group>
            <TextInput
              label={t.notify.to}
              description={t.outbox.recipientsHint}
              value={to}
              onChange={(e) => setTo(e.currentTarget.value)}
              required
            />
            <Group grow>
              <TextInput
                label={t.account.username}
                value={username}
                onChange={(e) => setUsername(e.currentTarget.value)}
                autoComplete="off"
              />
              <PasswordInput
                label={t.login.password}
                value={password}
                onChange={(e) => setPassword(e.currentTarget.value)}
                autoComplete="off"
              />
            </Group>
          </>
        )}
        {kind !== 'heartbeat' && (
          <>
            <Checkbox label={t.notify.mailToo} checked={mail} onChange={(e) => setMail(e.currentTarget.checked)} />
            <Checkbox label={t.notify.digest} checked={digest} onChange={(e) => setDigest(e.currentTarget.checked)} />
          </>
        )}
        {make.error && <ProblemNote error={make.error} />}
        {make.data?.secret && (
          <>
            <Text size="sm">{t.settings.tokenOnce}</Text>
            <Copyable text={make.data.secret} label={t.notify.secret} />
          </>
        )}
        <Button type="submit" loading={make.isPending} style={{ alignSelf: 'flex-start' }}>
          {t.common.save}
        </Button>
      </Stack>
    </form>
  )
}

function Commands({ address, onChange }: { address: string; onChange: (name: string) => void }) {
  const t = useT()
  const commands = useGet<string[]>('still', 'notify/commands')
  return (
    <Select
      label={t.notify.command}
      description={t.notify.commandHint}
      data={commands.data ?? []}
      value={address}
      onChange={(name) => onChange(name ?? '')}
      required
    />
  )
}
