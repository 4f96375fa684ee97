// What does not move by itself, by cause, with the way to all of a cause; and the runs over many messages.

import { Button, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { Link } from 'wouter'
import type { BulkRunJson } from '../../../src/contract/outbox.ts'
import type { AttentionGroupJson } from '../../../src/contract/system.ts'
import { ask, useChange, useGet } from '../api.ts'
import { useT } from '../i18n/index.ts'
import { Age, Empty, Loaded, PageTitle } from '../parts/basics.tsx'
import { RunProgress } from './outbox.tsx'

const INBOUND = ['quarantined', 'oversize']

export default function AttentionPage() {
  const t = useT()
  const groups = useGet<AttentionGroupJson[]>('outbox', 'attention')
  const runs = useGet<BulkRunJson[]>('runs', 'runs')
  const stop = useChange((id: number) => ask('POST', `runs/${id}/stop`, {}), ['runs'])
  return (
    <Stack>
      <PageTitle title={t.attention.title} />
      <Text c="dimmed">{t.attention.text}</Text>
      <Loaded query={groups}>
        {(data) =>
          data.length === 0 ? (
            <Empty>{t.attention.empty}</Empty>
          ) : (
            <Stack gap="xs">
              {data.map((group) => (
                <Paper key={`${group.kind} ${group.cause ?? ''}`} withBorder p="sm">
                  <Group justify="space-between" align="flex-start" wrap="nowrap">
                    <div style={{ minWidth: 0 }}>
                      <Text fw={650} className="anywhere">
                        {group.label} ({t.common.messages(group.count)})
                      </Text>
                      <Text size="sm" c="dimmed">
                        {t.common.accounts(group.accounts)} · {t.attention.oldest} <Age at={group.oldest_at} />
                      </Text>
                      {group.meaning !== '' && <Text size="sm">{group.meaning}</Text>}
                      {group.example && (
                        <Text size="xs" c="dimmed" className="anywhere mono">
                          {t.attention.example}: {group.example}
                        </Text>
                      )}
                    </div>
                    <Button
                      component={Link}
                      href={`${INBOUND.includes(group.kind) ? '/inbox' : '/outbox'}?filter=${encodeURIComponent(group.filter)}`}
                      size="xs"
                      variant="default"
                      style={{ flexShrink: 0 }}
                      aria-label={`${t.attention.show}: ${group.label}`}
                    >
                      {t.attention.show}
                    </Button>
                  </Group>
                </Paper>
              ))}
            </Stack>
          )
        }
      </Loaded>
      {runs.data && runs.data.length > 0 && (
        <section>
          <Title order={2} size="h5" mb="xs">
            {t.attention.runs}
          </Title>
          <Stack gap="xs">
            {runs.data.map((run) => (
              <RunProgress key={run.id} run={run} onStop={() => stop.mutate(run.id)} />
            ))}
          </Stack>
        </section>
      )}
    </Stack>
  )
}
