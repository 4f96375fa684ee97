// One account: its two lamps and what they mean, its history, its tests, its settings, what it lives on.

import { Alert, Button, Group, Paper, SegmentedControl, Stack, Table, Tabs, Text, Title } from '@mantine/core'
import { useState } from 'react'
import type { AccountDetailJson, AccountHealthJson, StoredTestJson } from '../../../src/contract/accounts.ts'
import { ask, useChange, useGet } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Age, Confirm, Empty, Lamp, Loaded, PageTitle, ProblemNote, Scroll } from '../parts/basics.tsx'
import { ConfirmButton } from '../parts/confirm-button.tsx'
import { HealthLanes, Pulse } from '../parts/charts.tsx'
import { ConnectionTest, StepList } from '../parts/connection-test.tsx'
import { AccountSettings } from '../parts/account-settings.tsx'
import { Credentials } from '../parts/credentials.tsx'
import { useMay } from '../person.ts'

export default function AccountPage({ id }: { id: string }) {
  const account = useGet<AccountDetailJson>('accounts', `accounts/${id}`)
  return <Loaded query={account}>{(data) => <Account account={data} />}</Loaded>
}

type Direction = 'receive' | 'send'

function Account({ account }: { account: AccountDetailJson }) {
  const t = useT()
  const [testing, setTesting] = useState(false)
  const [pausing, setPausing] = useState<Direction>()
  const mayAct = useMay('operator')
  const mayChange = useMay('admin')
  const poll = useChange(() => ask('POST', `accounts/${account.id}/poll`, {}), ['accounts'])
  const resume = useChange(
    (direction: Direction) => ask('POST', `accounts/${account.id}/resume`, { direction }),
    ['accounts'],
  )
  const directions = (['receive', 'send'] as const).filter((direction) => account[direction] !== null)
  return (
    <Stack gap="md">
      <PageTitle title={account.email}>
        {mayAct && (
          <>
            <Button onClick={() => setTesting(true)}>{t.account.test}</Button>
            {account.receive && (
              <Button variant="default" loading={poll.isPending} onClick={() => poll.mutate(undefined)}>
                {t.account.poll}
              </Button>
            )}
          </>
        )}
      </PageTitle>
      <Text c="dimmed" mt={-12}>
        {[account.label, t.accounts[account.provider], account.app?.label].filter(Boolean).join(' · ')}
      </Text>
      {poll.isSuccess && <Alert color="green">{t.account.polled}</Alert>}
      {[poll.error, resume.error].map((error) => error && <ProblemNote key={error.message} error={error} />)}
      {account.maildrop?.guard === 'paused' && <Renumbered account={account} />}
      {testing && <ConnectionTest account={account} onClose={() => setTesting(false)} />}
      {directions.map((direction) => (
        <LaneCard key={direction} account={account} direction={direction}>
          {mayAct &&
            (account.paused[direction] ? (
              <Button size="xs" onClick={() => resume.mutate(direction)} loading={resume.isPending}>
                {t.account.resume(t.lamp[direction])}
              </Button>
            ) : (
              <Button size="xs" variant="default" onClick={() => setPausing(direction)}>
                {t.account.pause(t.lamp[direction])}
              </Button>
            ))}
        </LaneCard>
      ))}
      {pausing && <Pause account={account} direction={pausing} onClose={() => setPausing(undefined)} />}
      <Tabs defaultValue="health" keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="health">{t.account.tabHealth}</Tabs.Tab>
          <Tabs.Tab value="tests">{t.account.tabTests}</Tabs.Tab>
          {mayChange && <Tabs.Tab value="settings">{t.account.tabSettings}</Tabs.Tab>}
          <Tabs.Tab value="credentials">{t.account.tabCredentials}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="health" pt="md">
          <Health account={account} />
        </Tabs.Panel>
        <Tabs.Panel value="tests" pt="md">
          <Tests id={account.id} />
        </Tabs.Panel>
        {mayChange && (
          <Tabs.Panel value="settings" pt="md">
            <AccountSettings key={account.etag} account={account} />
          </Tabs.Panel>
        )}
        <Tabs.Panel value="credentials" pt="md">
          <Credentials account={account} />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  )
}

function LaneCard({
  account,
  direction,
  children,
}: {
  account: AccountDetailJson
  direction: Direction
  children: React.ReactNode
}) {
  const t = useT()
  const format = useFormat()
  const lamp = account[direction]
  const lane = account.lanes.find((one) => one.lane === direction)
  const paused = account.paused[direction]
  const flags = account.flags.filter((flag) => flag.direction === direction)
  // what is to be done about it stands at the other direction
  const told =
    account.receive === null ? [] : account.flags.filter((one) => one.direction === 'receive').map((one) => one.flag)
  if (!lamp) return null
  return (
    <Paper withBorder p="sm" component="section" aria-label={t.lamp[direction]}>
      <Group justify="space-between" align="flex-start">
        <Group gap="sm">
          <Text fw={650} w={80}>
            {t.lamp[direction]}
          </Text>
          <Lamp state={lamp.state} />
          <Text size="sm" c="dimmed">
            {t.account.lastOk}: <Age at={lamp.last_ok_at} />
            {lane?.working && ` · ${t.account.working}`}
            {lane?.parked_until && new Date(lane.parked_until) > new Date() ? (
              <>
                {` · ${t.account.next}: `}
                <Age at={lane.parked_until} />
              </>
            ) : (
              lane?.due_at &&
              !paused && (
                <>
                  {` · ${t.account.next}: `}
                  <Age at={lane.due_at} />
                </>
              )
            )}
          </Text>
        </Group>
        {children}
      </Group>
      {paused && (
        <Text size="sm" mt="xs">
          {paused.by === null ? t.lamp.paused : t.account.pausedBy(paused.by)}
          {paused.at && ` · ${format.dateTime(paused.at)}`}
          {paused.reason && ` · ${paused.reason}`}
        </Text>
      )}
      {direction === 'send' && account.waiting > 0 && (
        <Text size="sm" mt="xs">
          {t.account.waitingFor(account.waiting)} <Age at={account.waiting_oldest_at} lasting />
        </Text>
      )}
      {direction === 'receive' && (
        <Group gap="md" mt="xs">
          <Pulse pulse={account.pulse} />
          <Text size="sm" c="dimmed">
            {account.maildrop?.messages !== null &&
              account.maildrop !== null &&
              `${t.account.serverHolds(account.maildrop.messages ?? 0)} · `}
            {t.account.stored}: {format.number(account.stored)}
            {account.stored >= 10_000 && '+'}, {t.account.stored24h}: {format.number(account.stored_24h)}
          </Text>
        </Group>
      )}
      {flags.map((flag) =>
        direction === 'send' && told.includes(flag.flag) ? (
          <Alert key={flag.flag} color="red" variant="light" mt="sm" title={flag.label}>
            {t.account.sameCause}
          </Alert>
        ) : (
          <Remedy key={flag.flag} flag={flag} />
        ),
      )}
    </Paper>
  )
}

function Remedy({ flag }: { flag: AccountDetailJson['flags'][number] }) {
  const t = useT()
  return (
    <Alert color="red" variant="light" mt="sm" title={flag.label}>
      <Text size="sm">{flag.meaning}</Text>
      <Text size="sm" mt="xs">
        <b>{t.overview.who}:</b> {flag.actor} · {t.account.since} <Age at={flag.since} lasting />
      </Text>
      {flag.steps.length > 0 && (
        <ol style={{ margin: '0.5rem 0', paddingLeft: '1.4rem' }}>
          {flag.steps.map((step) => (
            <Text component="li" size="sm" key={step} className="anywhere">
              {step}
            </Text>
          ))}
        </ol>
      )}
      {flag.link && (
        <Text size="sm" className="anywhere">
          <a href={flag.link} target="_blank" rel="noopener noreferrer">
            {t.account.link}: {flag.link}
          </a>
        </Text>
      )}
      <Text size="xs" c="dimmed" className="anywhere" mt="xs">
        {t.account.evidence}: <span className="mono">{flag.evidence}</span>
      </Text>
    </Alert>
  )
}

function Pause({
  account,
  direction,
  onClose,
}: {
  account: AccountDetailJson
  direction: Direction
  onClose: () => void
}) {
  const t = useT()
  const pause = useChange(
    (reason: string) => ask('POST', `accounts/${account.id}/pause`, { direction, ...(reason !== '' && { reason }) }),
    ['accounts'],
  )
  const what = t.account.pause(t.lamp[direction])
  return (
    <Confirm
      title={what}
      text={t.account.pauseText}
      action={what}
      withReason
      onClose={onClose}
      onConfirm={(reason) => pause.mutateAsync(reason)}
    />
  )
}

function Renumbered({ account }: { account: AccountDetailJson }) {
  const t = useT()
  const decide = useChange(
    ({ decision, reason }: { decision: string; reason: string }) =>
      ask('POST', `accounts/${account.id}/uidl`, { decision, ...(reason !== '' && { reason }) }),
    ['accounts'],
  )
  const may = useMay('admin')
  return (
    <Alert color="orange" title={t.account.renumbered}>
      <Text size="sm">{t.account.renumberedText}</Text>
      {may && (
        <Group mt="sm">
          {(['adopt', 'reimport'] as const).map((decision) => (
            <ConfirmButton
              key={decision}
              size="xs"
              variant={decision === 'adopt' ? 'filled' : 'default'}
              label={t.account[decision]}
              text={t.account.decisions[decision]}
              danger={decision === 'reimport'}
              withReason
              onConfirm={(reason) => decide.mutateAsync({ decision, reason })}
            />
          ))}
        </Group>
      )}
      {decide.error && <ProblemNote error={decide.error} />}
    </Alert>
  )
}

function Health({ account }: { account: AccountDetailJson }) {
  const t = useT()
  const format = useFormat()
  const [days, setDays] = useState('1')
  const health = useGet<AccountHealthJson>('accounts', `accounts/${account.id}/health?days=${days}`)
  const lanes = (['receive', 'send'] as const).flatMap((direction) =>
    account[direction] ? [{ direction, state: account[direction].state }] : [],
  )
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={2} size="h4">
          {t.account.lanes}
        </Title>
        <SegmentedControl
          aria-label={t.account.lanes}
          value={days}
          onChange={setDays}
          data={[1, 7, 30].map((n) => ({ value: String(n), label: t.account.period(n) }))}
        />
      </Group>
      <Loaded query={health}>
        {(data) => {
          const shown = data.events.filter((event) => event.at >= data.since)
          return (
            <>
              <HealthLanes health={data} lanes={lanes} />
              {shown.length === 0 ? (
                <Empty>{t.account.noEvents}</Empty>
              ) : (
                <Scroll minWidth={600}>
                  <Table aria-label={t.account.tabEvents} verticalSpacing={4}>
                    <Table.Tbody>
                      {shown.toReversed().map((event) => (
                        <Table.Tr key={event.id}>
                          <Table.Td style={{ whiteSpace: 'nowrap' }}>{format.dateTime(event.at)}</Table.Td>
                          <Table.Td>{t.lamp[event.direction]}</Table.Td>
                          <Table.Td>
                            <Lamp state={event.to as 'ok'} />
                          </Table.Td>
                          <Table.Td className="anywhere">
                            {event.label}
                            {event.evidence && (
                              <Text size="xs" c="dimmed" className="mono">
                                {event.evidence}
                              </Text>
                            )}
                          </Table.Td>
                        </Table.Tr>
                      ))}
                    </Table.Tbody>
                  </Table>
                </Scroll>
              )}
            </>
          )
        }}
      </Loaded>
    </Stack>
  )
}

function Tests({ id }: { id: number }) {
  const t = useT()
  const format = useFormat()
  const tests = useGet<StoredTestJson[]>('accounts', `accounts/${id}/tests`)
  return (
    <Loaded query={tests}>
      {(data) =>
        data.length === 0 ? (
          <Empty>{t.test.none}</Empty>
        ) : (
          <Stack>
            {data.map((test) => (
              <details key={test.id}>
                <summary>
                  {format.dateTime(test.at)} ·{' '}
                  {test.outcome === 'passed'
                    ? t.test.passed
                    : test.outcome === 'failed'
                      ? t.test.failed(test.steps.filter(({ state }) => state === 'failed').length)
                      : t.test.incomplete}
                </summary>
                <StepList steps={test.steps} />
              </details>
            ))}
          </Stack>
        )
      }
    </Loaded>
  )
}
