// What this installation is made of.

import { Stack, Table, Text, Title } from '@mantine/core'
import type { SystemJson } from '../../../src/contract/system.ts'
import { useGet } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Age, Facts, Loaded, Scroll } from './basics.tsx'

export function System() {
  const t = useT()
  const format = useFormat()
  const system = useGet<SystemJson>('workers', 'system')
  return (
    <Loaded query={system}>
      {(data) => (
        <Stack>
          <Facts
            rows={[
              [t.settings.version, `Poststelle ${data.version}, Node ${data.node}`],
              [t.settings.database, `PostgreSQL ${data.postgres}`],
              [t.settings.databaseSize, format.bytes(data.database_bytes)],
              [t.settings.mailSize, format.bytes(data.mail_bytes)],
              [t.settings.queueBackend, data.queue_backend],
              [t.settings.clock, `${format.number(data.clock_ahead_ms)} ms`],
            ]}
          />
          <section>
            <Title order={2} size="h5" mb="xs">
              {t.settings.processes}
            </Title>
            {data.workers.length === 0 ? (
              <Text c="dimmed">{t.settings.noProcess}</Text>
            ) : (
              <Scroll minWidth={480}>
                <Table aria-label={t.settings.processes}>
                  <Table.Tbody>
                    {data.workers.map((worker) => (
                      <Table.Tr key={`${worker.host} ${worker.pid}`}>
                        <Table.Td>
                          {worker.host}, {worker.pid}
                        </Table.Td>
                        <Table.Td>{worker.roles}</Table.Td>
                        <Table.Td>{worker.version}</Table.Td>
                        <Table.Td>
                          <Age at={worker.seen_at} />
                        </Table.Td>
                      </Table.Tr>
                    ))}
                  </Table.Tbody>
                </Table>
              </Scroll>
            )}
          </section>
        </Stack>
      )}
    </Loaded>
  )
}
