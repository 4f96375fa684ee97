// The keys that seal secrets, and how much each of them seals.

import { Button, Progress, Stack, Table, Text } from '@mantine/core'
import { useState } from 'react'
import type { KeysJson } from '../../../src/contract/system.ts'
import { ask, useChange, useGet } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Confirm, Loaded } from './basics.tsx'

export function Keys() {
  const t = useT()
  const format = useFormat()
  const keys = useGet<KeysJson>('still', 'keys', { every: 3_000 })
  const [asking, setAsking] = useState(false)
  const rotate = useChange((id: string) => ask('POST', 'keys/rotate', { confirm: id }), ['still'])
  return (
    <Loaded query={keys}>
      {(data) => {
        const primary = data.keys.find(({ seals }) => seals)?.id ?? ''
        return (
          <Stack maw={560}>
            <Text>
              {t.settings.coverage}: {data.coverage_percent} %
            </Text>
            <Progress value={data.coverage_percent} aria-label={`${t.settings.coverage}: ${data.coverage_percent} %`} />
            <Table aria-label={t.settings.keys}>
              <Table.Tbody>
                {data.keys.map((key) => (
                  <Table.Tr key={key.id}>
                    <Table.Td className="mono">{key.id}</Table.Td>
                    <Table.Td>{format.number(key.values)}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
            <Button variant="default" style={{ alignSelf: 'flex-start' }} onClick={() => setAsking(true)}>
              {t.settings.rotate}
            </Button>
            {asking && (
              <Confirm
                title={t.settings.rotate}
                text={t.settings.rotateText}
                action={t.settings.rotate}
                typed={primary}
                onClose={() => setAsking(false)}
                onConfirm={() => rotate.mutateAsync(primary)}
              />
            )}
          </Stack>
        )
      }}
    </Loaded>
  )
}
