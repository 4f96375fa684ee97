// Operators: who they are, what they may, how they get in.

import { Button, Checkbox, Group, Select, Stack, Table, Text, TextInput, Title } from '@mantine/core'
import { useState } from 'react'
import type { OperatorJson } from '../../../src/contract/people.ts'
import { ask, useChange, useGet } from '../api.ts'
import { useT } from '../i18n/index.ts'
import { Age, Copyable, Loaded, ProblemNote, Scroll } from './basics.tsx'
import { ConfirmButton } from './confirm-button.tsx'

const ROLES = ['reader', 'operator', 'admin'] as const

export function People() {
  const t = useT()
  const operators = useGet<OperatorJson[]>('still', 'operators')
  const [name, setName] = useState('')
  const [role, setRole] = useState<string>('operator')
  const [mayRead, setMayRead] = useState(false)
  const invite = useChange(
    () => ask<{ url: string }>('POST', 'operators', { name, role, may_read_mail: mayRead }),
    ['still'],
  )
  const again = useChange((id: number) => ask<{ url: string }>('POST', `operators/${id}/invitation`, {}), ['still'])
  const change = useChange(
    ({ id, ...fields }: { id: number; role?: string; may_read_mail?: boolean; disabled?: boolean }) =>
      ask('PATCH', `operators/${id}`, fields),
    ['still'],
  )
  const link = again.data?.url ?? invite.data?.url
  const roles = ROLES.map((value) => ({ value, label: t.settings.roles[value] ?? value }))
  return (
    <Stack>
      {[invite.error, again.error, change.error].map(
        (error) => error && <ProblemNote key={error.message} error={error} />,
      )}
      {link && (
        <>
          <Text size="sm">{t.settings.inviteLink}</Text>
          <Copyable text={link} label={t.settings.invite} />
        </>
      )}
      <Loaded query={operators}>
        {(data) => (
          <Scroll minWidth={720}>
            <Table aria-label={t.settings.people}>
              <Table.Thead>
                <Table.Tr>
                  {[t.settings.name, t.settings.role, t.settings.mayRead, t.settings.totp, t.settings.lastLogin].map(
                    (head) => (
                      <Table.Th key={head} scope="col">
                        {head}
                      </Table.Th>
                    ),
                  )}
                  <Table.Td />
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {data.map((one) => (
                  <Table.Tr key={one.id}>
                    <Table.Td>
                      {one.name}
                      {(one.disabled_at !== null || one.invited) && (
                        <Text size="xs" c="dimmed">
                          {one.disabled_at !== null ? t.settings.lockedOut : t.settings.invited}
                        </Text>
                      )}
                    </Table.Td>
                    <Table.Td>
                      <Select
                        aria-label={`${t.settings.role}: ${one.name}`}
                        size="xs"
                        w={150}
                        value={one.role}
                        data={roles}
                        allowDeselect={false}
                        onChange={(value) => value && change.mutate({ id: one.id, role: value })}
                      />
                    </Table.Td>
                    <Table.Td>
                      <Checkbox
                        aria-label={`${t.settings.mayRead}: ${one.name}`}
                        checked={one.may_read_mail}
                        onChange={(e) => change.mutate({ id: one.id, may_read_mail: e.currentTarget.checked })}
                      />
                    </Table.Td>
                    <Table.Td>{one.totp ? t.common.yes : t.common.no}</Table.Td>
                    <Table.Td>
                      <Age at={one.last_login_at} />
                    </Table.Td>
                    <Table.Td>
                      <Group gap="xs" wrap="nowrap">
                        <Button
                          size="compact-xs"
                          variant="default"
                          onClick={() => again.mutate(one.id)}
                          aria-label={`${t.settings.newLink}: ${one.name}`}
                        >
                          {t.settings.newLink}
                        </Button>
                        <ConfirmButton
                          size="compact-xs"
                          variant="default"
                          label={one.disabled_at === null ? t.settings.lockOut : t.settings.letIn}
                          of={one.name}
                          text={one.disabled_at === null ? t.settings.lockOutText : t.settings.letInText}
                          danger={one.disabled_at === null}
                          onConfirm={() => change.mutateAsync({ id: one.id, disabled: one.disabled_at === null })}
                        />
                      </Group>
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Scroll>
        )}
      </Loaded>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void invite.mutateAsync(undefined).then(() => setName(''))
        }}
      >
        <Title order={2} size="h5" mb="xs">
          {t.settings.invite}
        </Title>
        <Group align="flex-end">
          <TextInput label={t.settings.name} value={name} onChange={(e) => setName(e.currentTarget.value)} required />
          <Select
            label={t.settings.role}
            value={role}
            data={roles}
            allowDeselect={false}
            onChange={(value) => setRole(value ?? 'operator')}
          />
          <Checkbox
            label={t.settings.mayRead}
            checked={mayRead}
            onChange={(e) => setMayRead(e.currentTarget.checked)}
            mb={8}
          />
          <Button type="submit" loading={invite.isPending}>
            {t.settings.invite}
          </Button>
        </Group>
      </form>
    </Stack>
  )
}
