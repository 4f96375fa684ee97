// The settings of an account, changed field by field; and, at the end, its deletion.

import {
  Alert,
  Button,
  Checkbox,
  Divider,
  Group,
  NumberInput,
  Select,
  SimpleGrid,
  Stack,
  Text,
  TextInput,
  Title,
} from '@mantine/core'
import { useState } from 'react'
import { useLocation } from 'wouter'
import type { AccountDetailJson, ImportAnswer } from '../../../src/contract/accounts.ts'
import { ask, useChange } from '../api.ts'
import { useT } from '../i18n/index.ts'
import { Confirm, ProblemNote } from './basics.tsx'

type HostJson = NonNullable<AccountDetailJson['pop3']>

export function HostFields({
  title,
  host,
  onChange,
}: {
  title: string
  host: HostJson
  onChange: (host: HostJson) => void
}) {
  const t = useT()
  return (
    <fieldset style={{ border: 0, padding: 0, margin: 0 }}>
      <Text component="legend" fw={650} mb="xs">
        {title}
      </Text>
      <SimpleGrid cols={{ base: 1, sm: 2, lg: 4 }}>
        <TextInput
          label={t.account.host}
          value={host.host}
          onChange={(e) => onChange({ ...host, host: e.currentTarget.value })}
          required
        />
        <NumberInput
          label={t.account.port}
          value={host.port}
          min={1}
          max={65_535}
          onChange={(port) => onChange({ ...host, port: Number(port) })}
          required
        />
        <Select
          label={t.account.security}
          value={host.security}
          data={[
            { value: 'tls', label: t.account.tls },
            { value: 'starttls', label: t.account.starttls },
          ]}
          allowDeselect={false}
          onChange={(security) => onChange({ ...host, security: security ?? 'tls' })}
        />
        <TextInput
          label={t.account.username}
          value={host.username}
          onChange={(e) => onChange({ ...host, username: e.currentTarget.value })}
        />
      </SimpleGrid>
    </fieldset>
  )
}

const numberOrNull = (value: string | number): number | null => (value === '' ? null : Number(value))

export function AccountSettings({ account }: { account: AccountDetailJson }) {
  const t = useT()
  const { settings } = account
  const [label, setLabel] = useState(account.label)
  const [isDefault, setDefault] = useState(account.is_default)
  const [pop3, setPop3] = useState(account.pop3)
  const [smtp, setSmtp] = useState(account.smtp)
  const [policy, setPolicy] = useState({
    poll_interval_seconds: settings.poll_interval_seconds,
    delete_after_days: settings.delete_after_days,
    delete_after_ack: settings.delete_after_ack,
    freshness_minutes: settings.freshness_minutes,
    canary_minutes: settings.canary_minutes,
    uncertain_policy: settings.uncertain_policy,
  })
  const [deleting, setDeleting] = useState(false)
  const [, go] = useLocation()
  const save = useChange(
    () =>
      ask<ImportAnswer>(
        'PATCH',
        `accounts/${account.id}`,
        { label, default: isDefault, ...(pop3 && { pop3 }), ...(smtp && { smtp }), ...policy },
        { 'if-match': `"${account.etag}"` },
      ),
    ['accounts'],
  )
  const remove = useChange(
    () => ask('POST', `accounts/${account.id}/delete`, { confirm: account.email }),
    ['accounts', 'inbox', 'outbox'],
  )
  const change = (field: Partial<typeof policy>): void => setPolicy((before) => ({ ...before, ...field }))
  const saved = save.data?.accounts[0]
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        save.mutate(undefined)
      }}
    >
      <Stack maw={900}>
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          <TextInput label={t.account.label} value={label} onChange={(e) => setLabel(e.currentTarget.value)} />
          <Checkbox
            mt={{ sm: 30 }}
            label={t.account.isDefault}
            checked={isDefault}
            onChange={(e) => setDefault(e.currentTarget.checked)}
          />
        </SimpleGrid>
        {pop3 && <HostFields title={t.account.pop3} host={pop3} onChange={setPop3} />}
        {smtp && <HostFields title={t.account.smtp} host={smtp} onChange={setSmtp} />}
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          {pop3 && (
            <>
              <NumberInput
                label={t.account.pollInterval}
                min={5}
                max={86_400}
                value={policy.poll_interval_seconds}
                onChange={(v) => change({ poll_interval_seconds: Number(v) })}
              />
              <NumberInput
                label={t.account.deleteAfterDays}
                description={t.account.deleteNever}
                min={0}
                value={policy.delete_after_days ?? ''}
                onChange={(v) => change({ delete_after_days: numberOrNull(v) })}
              />
              <NumberInput
                label={t.account.freshness}
                description={t.account.freshnessHint}
                min={10}
                value={policy.freshness_minutes ?? ''}
                onChange={(v) => change({ freshness_minutes: numberOrNull(v) })}
              />
              {smtp && (
                <NumberInput
                  label={t.account.canary}
                  description={t.common.none}
                  min={60}
                  value={policy.canary_minutes ?? ''}
                  onChange={(v) => change({ canary_minutes: numberOrNull(v) })}
                />
              )}
              <Checkbox
                label={t.account.deleteAfterAck}
                checked={policy.delete_after_ack}
                onChange={(e) => change({ delete_after_ack: e.currentTarget.checked })}
              />
            </>
          )}
          {smtp && (
            <Select
              label={t.account.uncertain}
              value={policy.uncertain_policy}
              allowDeselect={false}
              data={(['retry_once', 'hold', 'retry'] as const).map((value) => ({ value, label: t.account[value] }))}
              onChange={(v) => change({ uncertain_policy: v ?? 'retry_once' })}
            />
          )}
        </SimpleGrid>
        {save.error && <ProblemNote error={save.error} />}
        {saved && (
          <Alert color="green" role="status">
            {saved.change === 'unchanged' ? t.account.unchanged : t.account.saved}
            {saved.notes.map((note) => (
              <Text size="sm" key={note}>
                {note}
              </Text>
            ))}
          </Alert>
        )}
        <Group>
          <Button type="submit" loading={save.isPending}>
            {t.common.save}
          </Button>
        </Group>
        <Divider my="lg" />
        <Title order={2} size="h5">
          {t.account.danger}
        </Title>
        <Text size="sm">{t.account.dangerText}</Text>
        <Button color="red" variant="outline" style={{ alignSelf: 'flex-start' }} onClick={() => setDeleting(true)}>
          {t.account.danger}
        </Button>
        {deleting && (
          <Confirm
            title={t.account.danger}
            text={t.account.dangerText}
            action={t.account.delete}
            danger
            typed={account.email}
            onClose={() => setDeleting(false)}
            onConfirm={async () => {
              await remove.mutateAsync(undefined)
              go('/accounts')
            }}
          />
        )}
      </Stack>
    </form>
  )
}
