// Who did what, and whether anybody has tampered with it.

import { Alert, Button, Center, Group, Stack, Table, Text, TextInput } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useState } from 'react'
import type { AuditEntryJson } from '../../../src/contract/people.ts'
import { ask, useChange, usePages } from '../api.ts'
import { useFormat, useT, type Messages } from '../i18n/index.ts'
import { ProblemNote, Scroll } from './basics.tsx'

export function AuditLog() {
  const t = useT()
  const format = useFormat()
  const [text, setText] = useState('')
  const [settled] = useDebouncedValue(text, 300)
  const pages = usePages<AuditEntryJson>('still', 'audit', settled === '' ? {} : { text: settled })
  const check = useChange(() => ask<{ entries: number; broken: number[] }>('POST', 'audit/check', {}), [])
  const rows = pages.data?.pages.flatMap((page) => page.items) ?? []
  return (
    <Stack>
      <Group align="flex-end" justify="space-between">
        <TextInput
          type="search"
          label={t.common.search}
          value={text}
          onChange={(e) => setText(e.currentTarget.value)}
          data-filter
        />
        <Button variant="default" loading={check.isPending} onClick={() => check.mutate(undefined)}>
          {t.settings.auditCheck}
        </Button>
      </Group>
      {check.data && (
        <Alert color={check.data.broken.length === 0 ? 'green' : 'red'} role="status">
          {check.data.broken.length === 0
            ? t.settings.auditWhole(check.data.entries)
            : t.settings.auditBroken(check.data.broken.length)}
        </Alert>
      )}
      {pages.error && <ProblemNote error={pages.error} />}
      <Scroll minWidth={720}>
        <Table verticalSpacing={4}>
          <Table.Thead>
            <Table.Tr>
              {[t.settings.at, t.settings.actor, t.settings.action, t.settings.object, t.settings.details].map(
                (head) => (
                  <Table.Th key={head} scope="col">
                    {head}
                  </Table.Th>
                ),
              )}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((row) => (
              <Table.Tr key={row.id}>
                <Table.Td style={{ whiteSpace: 'nowrap' }}>{format.dateTime(row.at)}</Table.Td>
                <Table.Td className="anywhere">
                  {row.actor}
                  {row.ip && (
                    <Text size="xs" c="dimmed">
                      {row.ip}
                    </Text>
                  )}
                </Table.Td>
                <Table.Td>
                  {t.settings.auditActions[row.action.replace(/^attachment \d+/, 'attachment')] ?? row.action}
                </Table.Td>
                <Table.Td>{objectText(t, row.object)}</Table.Td>
                <Table.Td className="anywhere mono">
                  {Object.keys(row.details).length > 0 && JSON.stringify(row.details)}
                  {row.reason && <Text size="xs">{row.reason}</Text>}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Scroll>
      {pages.hasNextPage && (
        <Center>
          <Button variant="default" loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
            {t.common.more}
          </Button>
        </Center>
      )}
    </Stack>
  )
}

/** "outbox 17" */
const objectText = (t: Messages, object: string): string => {
  const [kind = '', ...rest] = object.split(/(?=[ ,])/)
  return `${t.settings.auditObjects[kind] ?? kind}${rest.join('')}`
}
