// Tokens of programs: made, shown once, revoked.

import { Button, Checkbox, Group, NumberInput, Select, Stack, Table, Text, TextInput, Title } from '@mantine/core'
import { useState } from 'react'
import type { TokenJson } from '../../../src/contract/people.ts'
import { ask, useChange, useGet } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Age, Copyable, Empty, Loaded, ProblemNote, Scroll } from './basics.tsx'
import { ConfirmButton } from './confirm-button.tsx'

export function Tokens() {
  const t = useT()
  const format = useFormat()
  const tokens = useGet<TokenJson[]>('still', 'tokens')
  const [label, setLabel] = useState('')
  const [role, setRole] = useState<string>('reader')
  const [mayRead, setMayRead] = useState(false)
  const [maySend, setMaySend] = useState(true)
  const [days, setDays] = useState<number | null>(null)
  const make = useChange(
    () => ask<{ token: string }>('POST', 'tokens', { label, role, may_read_mail: mayRead, may_send: maySend, days }),
    ['still'],
  )
  const revoke = useChange((id: number) => ask('DELETE', `tokens/${id}`), ['still'])
  return (
    <Stack>
      {[make.error, revoke.error].map((error) => error && <ProblemNote key={error.message} error={error} />)}
      {make.data && (
        <>
          <Text size="sm">{t.settings.tokenOnce}</Text>
          <Copyable text={make.data.token} label={t.settings.newToken} />
        </>
      )}
      <Loaded query={tokens}>
        {(data) =>
          data.length === 0 ? (
            <Empty>{t.settings.noTokens}</Empty>
          ) : (
            <Scroll minWidth={640}>
              <Table aria-label={t.settings.tokens}>
                <Table.Tbody>
                  {data.map((token) => (
                    <Table.Tr key={token.id}>
                      <Table.Td>
                        {token.label}
                        <Text size="xs" c="dimmed" className="mono">
                          {token.prefix}…
                        </Text>
                      </Table.Td>
                      <Table.Td>
                        {[
                          t.settings.roles[token.role],
                          token.may_read_mail && t.settings.mayRead,
                          token.may_send && t.settings.maySend,
                        ]
                          .filter(Boolean)
                          .join(', ')}
                      </Table.Td>
                      <Table.Td>
                        {token.expires_at ? format.day(token.expires_at) : t.settings.forever.replace(/^.*: /, '')}
                      </Table.Td>
                      <Table.Td>
                        {t.settings.lastUsed} <Age at={token.last_used_at} />
                      </Table.Td>
                      <Table.Td>
                        <ConfirmButton
                          size="compact-xs"
                          variant="default"
                          label={t.settings.revoke}
                          of={token.label}
                          text={t.settings.revokeText}
                          danger
                          onConfirm={() => revoke.mutateAsync(token.id)}
                        />
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Scroll>
          )
        }
      </Loaded>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void make.mutateAsync(undefined).then(() => setLabel(''))
        }}
      >
        <Title order={2} size="h5" mb="xs">
          {t.settings.newToken}
        </Title>
        <Group align="flex-end">
          <TextInput
            label={t.settings.tokenLabel}
            value={label}
            onChange={(e) => setLabel(e.currentTarget.value)}
            required
          />
          <Select
            label={t.settings.role}
            value={role}
            allowDeselect={false}
            data={(['reader', 'operator', 'admin'] as const).map((value) => ({
              value,
              label: t.settings.roles[value] ?? value,
            }))}
            onChange={(value) => setRole(value ?? 'reader')}
          />
          <NumberInput
            label={t.settings.tokenDays}
            description={t.settings.forever}
            min={1}
            value={days ?? ''}
            onChange={(value) => setDays(value === '' ? null : Number(value))}
          />
          <Checkbox
            label={t.settings.maySend}
            checked={maySend}
            onChange={(e) => setMaySend(e.currentTarget.checked)}
            mb={8}
          />
          <Checkbox
            label={t.settings.mayRead}
            checked={mayRead}
            onChange={(e) => setMayRead(e.currentTarget.checked)}
            mb={8}
          />
          <Button type="submit" loading={make.isPending}>
            {t.common.save}
          </Button>
        </Group>
      </form>
    </Stack>
  )
}
