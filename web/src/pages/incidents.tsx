// Incidents: one cause over many accounts, what it means, who must act, how long it lasted.

import { Alert, Group, Paper, SegmentedControl, Stack, Table, Text, Title } from '@mantine/core'
import { useState } from 'react'
import type { IncidentDetailsJson, IncidentJson } from '../../../src/contract/incidents.ts'
import { useGet } from '../api.ts'
import { useFormat, useT, type Messages } from '../i18n/index.ts'
import { Age, Empty, Loaded, PageTitle, TextLink, Scroll } from '../parts/basics.tsx'

export default function IncidentsPage({ id }: { id?: string }) {
  return id === undefined ? <All /> : <One id={id} />
}

function All() {
  const t = useT()
  const [closed, setClosed] = useState('false')
  const incidents = useGet<IncidentJson[]>('incidents', `incidents?closed=${closed}`)
  return (
    <Stack>
      <PageTitle title={t.incidents.title}>
        <SegmentedControl
          aria-label={t.incidents.title}
          value={closed}
          onChange={setClosed}
          data={[
            { value: 'false', label: t.incidents.open },
            { value: 'true', label: t.incidents.over },
          ]}
        />
      </PageTitle>
      <Loaded query={incidents}>
        {(data) =>
          data.length === 0 ? (
            <Empty>{closed === 'true' ? t.incidents.emptyOver : t.incidents.emptyOpen}</Empty>
          ) : (
            <Stack gap="xs">
              {data.map((one) => (
                <Paper key={one.id} withBorder p="sm">
                  <TextLink to={`/incidents/${one.id}`}>
                    <Text fw={650} component="span" className="anywhere">
                      {one.label}: {one.subject}
                    </Text>
                  </TextLink>
                  <Text size="sm" c="dimmed">
                    {closed === 'true' ? (
                      <Age at={one.opened_at} />
                    ) : (
                      <>
                        {t.account.since} <Age at={one.opened_at} lasting />
                      </>
                    )}{' '}
                    · {t.common.accounts(closed === 'true' ? one.accounts_most : one.accounts)}
                    {waitingText(t, closed === 'true' ? one.waiting.most : one.waiting.count)}
                  </Text>
                  <Text size="sm">
                    {t.overview.who}: {one.actor}
                  </Text>
                </Paper>
              ))}
            </Stack>
          )
        }
      </Loaded>
    </Stack>
  )
}

function One({ id }: { id: string }) {
  const t = useT()
  const format = useFormat()
  const incident = useGet<IncidentDetailsJson>('incidents', `incidents/${id}`)
  return (
    <Loaded query={incident}>
      {(data) => (
        <Stack maw={860}>
          <PageTitle title={`${data.label}: ${data.subject}`} />
          <Alert color={data.closed_at ? 'gray' : 'red'} variant="light" title={data.meaning}>
            <Text size="sm">
              <b>{t.overview.who}:</b> {data.actor}
            </Text>
            <ol style={{ margin: '0.5rem 0', paddingLeft: '1.4rem' }}>
              {data.steps.map((step) => (
                <Text component="li" size="sm" key={step} className="anywhere">
                  {step}
                </Text>
              ))}
            </ol>
            {data.link && (
              <a href={data.link} target="_blank" rel="noopener noreferrer">
                {t.account.link}: {data.link}
              </a>
            )}
            <Text size="xs" c="dimmed" className="anywhere" mt="xs">
              {t.account.evidence}: <span className="mono">{data.evidence}</span>
            </Text>
          </Alert>
          <section>
            <Title order={2} size="h5" mb="xs">
              {t.incidents.history}
            </Title>
            <ol className="timeline">
              {data.events.map((event) => (
                <li key={`${event.at} ${event.event}`}>
                  <Text size="sm">
                    {format.dateTime(event.at)} · <b>{t.incidents.events[event.event] ?? event.event}</b> ·{' '}
                    {t.common.accounts(event.accounts)}
                    {waitingText(t, event.waiting)}
                    {event.sent_since !== null && ` · ${t.incidents.sentSince(event.sent_since)}`}
                  </Text>
                </li>
              ))}
            </ol>
          </section>
          <section>
            <Title order={2} size="h5" mb="xs">
              {t.incidents.affected}
            </Title>
            <Scroll minWidth={400}>
              <Table aria-label={t.incidents.affected}>
                <Table.Tbody>
                  {data.affected.slice(0, 200).map((one) => (
                    <Table.Tr key={`${one.email} ${one.direction} ${one.joined_at}`}>
                      <Table.Td>
                        <TextLink to={`/accounts?filter=${encodeURIComponent(one.email)}`}>{one.email}</TextLink>
                      </Table.Td>
                      <Table.Td>{t.lamp[one.direction]}</Table.Td>
                      <Table.Td>
                        <Group gap={4}>
                          {t.account.since} <Age at={one.joined_at} lasting />
                          {one.left_at && ` · ${t.incidents.over}`}
                        </Group>
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Scroll>
          </section>
        </Stack>
      )}
    </Loaded>
  )
}

const waitingText = (t: Messages, count: number): string =>
  count === 0 ? '' : ` · ${t.incidents.waiting}: ${t.common.messages(count)}`
