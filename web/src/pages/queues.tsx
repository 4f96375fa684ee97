// The technical page: how many jobs wait, what is due by the tables, whether anybody works.

import { Anchor, Button, Card, Group, SimpleGrid, Stack, Text } from '@mantine/core'
import { useState } from 'react'
import type { QueueJson } from '../../../src/contract/system.ts'
import { address, ask, useChange, useGet } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Age, Confirm, Facts, Loaded, PageTitle, ProblemNote, Chip } from '../parts/basics.tsx'
import { useMay } from '../person.ts'

export default function QueuesPage() {
  const t = useT()
  const format = useFormat()
  const may = useMay('admin')
  const [pausing, setPausing] = useState<string>()
  const queues = useGet<QueueJson[]>('workers', 'queues', { every: 3_000 })
  const change = useChange(
    ({ name, action, reason }: { name: string; action: 'pause' | 'resume'; reason?: string }) =>
      ask('POST', `queues/${name}/${action}`, reason ? { reason } : {}),
    ['workers'],
  )
  return (
    <Stack>
      <PageTitle title={t.queues.title} />
      <Text c="dimmed">{t.queues.note}</Text>
      {change.error && <ProblemNote error={change.error} />}
      <Loaded query={queues}>
        {(data) => (
          <SimpleGrid cols={{ base: 1, sm: 2, xl: 4 }}>
            {data.map((queue) => (
              <Card
                key={queue.name}
                withBorder
                component="section"
                aria-label={t.queues.names[queue.name] ?? queue.name}
              >
                <Group justify="space-between" mb="sm">
                  <Text fw={650}>{t.queues.names[queue.name] ?? queue.name}</Text>
                  {queue.paused ? (
                    <Chip colour="paused">{t.queues.paused}</Chip>
                  ) : (
                    queue.workers === 0 && <Chip colour="blocked">{t.queues.nobody}</Chip>
                  )}
                </Group>
                <Facts
                  rows={[
                    [t.queues.waiting, format.number(queue.waiting)],
                    [t.queues.active, format.number(queue.active)],
                    [t.queues.delayed, format.number(queue.delayed)],
                    [t.queues.failed, format.number(queue.failed)],
                    [
                      t.queues.due,
                      <span key="d">
                        {format.number(queue.due)}
                        {queue.oldest_due_at && (
                          <>
                            {' · '}
                            <Age at={queue.oldest_due_at} />
                          </>
                        )}
                      </span>,
                    ],
                    [t.queues.workers, format.number(queue.workers)],
                  ]}
                />
                {may && (
                  <Button
                    mt="sm"
                    size="xs"
                    variant="default"
                    aria-label={`${queue.paused ? t.queues.resume : t.queues.pause}: ${t.queues.names[queue.name] ?? queue.name}`}
                    onClick={() =>
                      queue.paused ? change.mutate({ name: queue.name, action: 'resume' }) : setPausing(queue.name)
                    }
                  >
                    {queue.paused ? t.queues.resume : t.queues.pause}
                  </Button>
                )}
              </Card>
            ))}
          </SimpleGrid>
        )}
      </Loaded>
      {may && (
        <Anchor href={address('queues')} target="_blank" rel="noopener">
          {t.queues.raw}
        </Anchor>
      )}
      {pausing && (
        <Confirm
          title={`${t.queues.pause}: ${t.queues.names[pausing] ?? pausing}`}
          text={t.account.pauseText}
          action={t.queues.pause}
          withReason
          onClose={() => setPausing(undefined)}
          onConfirm={(reason) => change.mutateAsync({ name: pausing, action: 'pause', reason })}
        />
      )}
    </Stack>
  )
}
