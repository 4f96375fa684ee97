// The ten-second page: verdict, five facts, what needs attention by its cause, one chart.

import { Alert, Button, Card, Group, Paper, SimpleGrid, Stack, Text, Title } from '@mantine/core'
import { Link } from 'wouter'
import type { OverviewJson } from '../../../src/contract/overview.ts'
import { useGet } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Age, Lamp, Loaded, type LampState, Chip } from '../parts/basics.tsx'
import { ExpiryRuler, HourChart } from '../parts/charts.tsx'
import { useMay } from '../person.ts'

const MARKS = { well: 'ok', notes: 'late', blocked: 'blocked', stopped: 'blocked' } as const

export function OverviewPage() {
  const overview = useGet<OverviewJson>('overview', 'overview', { every: 15_000 })
  return <Loaded query={overview}>{(data) => <Overview data={data} />}</Loaded>
}

function Overview({ data }: { data: OverviewJson }) {
  const t = useT()
  const format = useFormat()
  return (
    <Stack gap="md">
      <div>
        <Title order={1} size="h2" aria-live="polite" c={`var(--lamp-${MARKS[data.kind]})`} id="verdict">
          <Group gap="xs" component="span" display="inline-flex">
            <Lamp state={MARKS[data.kind]} bare />
            {data.verdict}
          </Group>
        </Title>
        <Text c="dimmed" mt={4} id="facts">
          {data.facts.join(' · ')}
        </Text>
      </div>
      {data.restored && data.restored.held > 0 && (
        <Alert color="orange" variant="light">
          {t.overview.restored(data.restored.held)}{' '}
          <Link href="/outbox?filter=reason:after_restore">{t.common.open}</Link>
        </Alert>
      )}
      {data.accounts === 0 && Object.keys(data.lamps).length === 0 ? <First /> : <Cards data={data} />}
      <section aria-labelledby="attention">
        <Title order={2} size="h4" mb="xs" id="attention">
          {t.overview.attention} ({format.number(data.attention.length)})
        </Title>
        {data.attention.length === 0 ? (
          <Text c="dimmed">{t.overview.nothing}</Text>
        ) : (
          <Stack gap="xs">
            {data.attention.map((item) => (
              <Paper
                key={item.incident_ids.join()}
                withBorder
                p="sm"
                style={{ borderLeft: `4px solid var(--lamp-${item.human ? 'blocked' : 'failing'})` }}
              >
                <Group justify="space-between" align="flex-start" wrap="nowrap" gap="md">
                  <div style={{ minWidth: 0 }}>
                    <Text fw={650} className="anywhere">
                      {item.label}: {item.subject}
                    </Text>
                    <Text size="sm" c="dimmed">
                      {item.extent}
                    </Text>
                    <Text size="sm" mt={4} className="anywhere">
                      {item.human ? `${t.overview.who}: ${item.actor}` : t.overview.heals}
                      {item.next_step !== '' && ` · ${item.next_step}`}
                    </Text>
                  </div>
                  <Button
                    component={Link}
                    href={`/incidents/${item.incident_ids[0]}`}
                    size="xs"
                    variant="default"
                    style={{ flexShrink: 0 }}
                    aria-label={`${t.overview.whatToDo} ${item.label}: ${item.subject}`}
                  >
                    {t.overview.whatToDo}
                  </Button>
                </Group>
              </Paper>
            ))}
          </Stack>
        )}
      </section>
      <Paper withBorder p="md">
        <HourChart hours={data.hours} />
      </Paper>
    </Stack>
  )
}

function Cards({ data }: { data: OverviewJson }) {
  const t = useT()
  const format = useFormat()
  const of = (state: LampState): number => data.lamps[state] ?? 0
  const waiting = Object.entries(data.outbox).filter(([, count]) => count > 0)
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }} spacing="sm">
      <Card withBorder>
        <CardTitle>{t.overview.accounts}</CardTitle>
        <Group gap="sm">
          {(['ok', 'late', 'failing', 'blocked', 'paused'] as const)
            .filter((state) => state === 'ok' || of(state) > 0)
            .map((state) => (
              <Link key={state} href={`/accounts?filter=status:${state}`} className="quiet-link">
                <Group gap={4} wrap="nowrap">
                  <Text fw={700} size="lg" component="span">
                    {format.number(of(state))}
                  </Text>
                  <Lamp state={state} />
                </Group>
              </Link>
            ))}
        </Group>
      </Card>
      <Card withBorder>
        <CardTitle>{t.overview.outbox}</CardTitle>
        <Text size="sm">
          {data.oldest_due_at ? (
            <>
              {t.overview.oldestDue}: <Age at={data.oldest_due_at} />
            </>
          ) : (
            t.overview.nothingDue
          )}
        </Text>
        {data.stuck > 0 && (
          <Text size="sm" c="var(--lamp-failing)">
            {t.overview.stuck(data.stuck)}
          </Text>
        )}
        <Group gap="xs" mt={4}>
          {waiting.map(([state, count]) => (
            <Link key={state} href={`/outbox?filter=status:${state}`} className="quiet-link">
              <Chip>
                {t.outbox.states[state] ?? state} {format.number(count)}
              </Chip>
            </Link>
          ))}
        </Group>
      </Card>
      <Card withBorder>
        <CardTitle>{t.overview.inbox}</CardTitle>
        <Link href={`/inbox?filter=since:${data.since.slice(0, 16)}Z`} className="quiet-link">
          <Text size="lg" fw={700} component="span">
            {format.number(data.received)}
          </Text>{' '}
          <Text size="sm" component="span">
            {t.overview.receivedSince}
          </Text>
        </Link>
        <Text size="sm">
          {format.number(data.handed_over)} {t.overview.handedOverSince}
        </Text>
      </Card>
      <Card withBorder>
        <CardTitle>{t.overview.runway}</CardTitle>
        {data.runway.length === 0 ? (
          <Text size="sm">{t.overview.noRunway}</Text>
        ) : (
          <>
            {data.runway.slice(0, 2).map((item) => (
              <Text size="sm" key={`${item.kind} ${item.subject}`} className="anywhere">
                {item.title}
                {/^\d+$/.test(item.subject) ? '' : `: ${item.subject}`} <b>{t.overview.inDays(item.days_left ?? 0)}</b>{' '}
                ({t.common.accounts(item.accounts)})
              </Text>
            ))}
            <ExpiryRuler items={data.runway} small />
          </>
        )}
      </Card>
    </SimpleGrid>
  )
}

const CardTitle = ({ children }: { children: string }) => (
  <Text size="xs" fw={700} tt="uppercase" c="dimmed" mb={4} component="h2">
    {children}
  </Text>
)

function First() {
  const t = useT()
  const mayAdd = useMay('admin')
  return (
    <Card withBorder>
      <Title order={2} size="h4">
        {t.overview.first}
      </Title>
      <Text my="sm">{t.overview.firstText}</Text>
      {mayAdd && (
        <Button component={Link} href="/accounts/new" style={{ alignSelf: 'flex-start' }}>
          {t.accounts.add}
        </Button>
      )}
    </Card>
  )
}
