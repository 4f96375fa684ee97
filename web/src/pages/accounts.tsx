// The accounts: two lamps each, the pulse of their polls, what waits.

import { Button, Group, Text } from '@mantine/core'
import { Link } from 'wouter'
import type { AccountCardJson } from '../../../src/contract/accounts.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Age, Lamp, PageTitle, TextLink, Chip } from '../parts/basics.tsx'
import { Pulse } from '../parts/charts.tsx'
import { FilterField, List, QuickFilters, type Column } from '../parts/list.tsx'
import { useMay } from '../person.ts'

export default function AccountsPage() {
  const t = useT()
  const format = useFormat()
  const mayAdd = useMay('admin')
  const columns: Column<AccountCardJson>[] = [
    { head: t.lamp.receive, narrow: true, cell: (a) => <Lamp state={a.receive?.state ?? null} /> },
    { head: t.lamp.send, narrow: true, cell: (a) => <Lamp state={a.send?.state ?? null} /> },
    {
      head: t.accounts.address,
      cell: (a) => (
        <>
          <TextLink to={`/accounts/${a.id}`}>
            <Text fw={600} component="span">
              {a.email}
            </Text>
          </TextLink>
          <Text size="xs" c="dimmed">
            {[a.label, t.accounts[a.provider], a.app?.label].filter(Boolean).join(' · ')}
          </Text>
        </>
      ),
    },
    { head: t.accounts.lastPoll, narrow: true, cell: (a) => (a.receive ? <Age at={a.last_poll_at} /> : t.common.none) },
    { head: t.accounts.pulse, narrow: true, cell: (a) => <Pulse pulse={a.pulse} /> },
    {
      head: t.accounts.waiting,
      narrow: true,
      cell: (a) =>
        a.waiting === 0 ? (
          <Text c="dimmed" component="span">
            0
          </Text>
        ) : (
          <TextLink to={`/outbox?filter=${encodeURIComponent(`account:${a.email} status:open`)}`}>
            {format.number(a.waiting)} · <Age at={a.waiting_oldest_at} />
          </TextLink>
        ),
    },
    {
      head: t.accounts.flags,
      cell: (a) => (
        <Group gap={4}>
          {[...new Map(a.flags.map((flag) => [flag.flag, flag])).values()].map((flag) => (
            <Chip key={flag.flag} colour="blocked">
              {flag.label}
            </Chip>
          ))}
        </Group>
      ),
    },
  ]
  return (
    <>
      <PageTitle title={t.accounts.title}>
        {mayAdd && (
          <>
            <Button component={Link} href="/accounts/import" variant="default">
              {t.accounts.importMany}
            </Button>
            <Button component={Link} href="/accounts/new">
              {t.accounts.add}
            </Button>
          </>
        )}
      </PageTitle>
      <FilterField
        hint={t.accounts.filterHint}
        fields={[
          'status:blocked',
          'status:failing',
          'status:late',
          'status:paused',
          'provider:microsoft',
          'provider:google',
          'flag:',
          'app:',
        ]}
      />
      <QuickFilters
        filters={[
          [t.lamp.blocked, 'status:blocked'],
          [t.lamp.failing, 'status:failing'],
          [t.lamp.late, 'status:late'],
          [t.lamp.paused, 'status:paused'],
        ]}
      />
      <List<AccountCardJson>
        topic="accounts"
        path="accounts"
        columns={columns}
        to={(a) => `/accounts/${a.id}`}
        label={(a) => a.email}
        empty={t.accounts.empty}
        none={t.accounts.none}
        above={(total) =>
          total === undefined ? null : (
            <Text size="sm" c="dimmed">
              {t.common.accounts(total)}
            </Text>
          )
        }
      />
    </>
  )
}
