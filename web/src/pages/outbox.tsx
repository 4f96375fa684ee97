// Outgoing mail by any filter, and what can be done to all that match.

import { Alert, Button, Group, Menu, Progress, Text } from '@mantine/core'
import { useState } from 'react'
import { Link } from 'wouter'
import type { BulkRunJson, ChangeAnswer, OutboxEntryJson } from '../../../src/contract/outbox.ts'
import { ask, useChange, useGet } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Age, Confirm, PageTitle, ProblemNote, StateChip, TextLink } from '../parts/basics.tsx'
import { FilterField, List, QuickFilters, useFilter, type Column } from '../parts/list.tsx'
import { useMay } from '../person.ts'

export const CHANGES = ['retry', 'hold', 'release', 'cancel', 'resolve_sent', 'resolve_resend'] as const

export default function OutboxPage() {
  const t = useT()
  const may = useMay('operator')
  const columns: Column<OutboxEntryJson>[] = [
    { head: t.outbox.created, narrow: true, cell: (m) => <Age at={m.created_at} /> },
    { head: t.inbox.account, cell: (m) => m.account },
    {
      head: t.outbox.to,
      cell: (m) => `${m.recipient ?? ''}${m.recipient_count > 1 ? ` (+${m.recipient_count - 1})` : ''}`,
    },
    {
      head: t.inbox.subject,
      wide: true,
      cell: (m) => <TextLink to={`/outbox/${m.id}`}>{m.subject ?? t.inbox.noSubject}</TextLink>,
    },
    {
      head: t.outbox.state,
      cell: (m) => (
        <>
          <StateChip state={m.state} reason={m.hold_reason} />
          {m.last_reply && m.state !== 'sent' && (
            <Text size="xs" c="dimmed" lineClamp={2} className="anywhere">
              {m.last_reply}
            </Text>
          )}
        </>
      ),
    },
    { head: t.outbox.attempts, narrow: true, cell: (m) => m.attempts },
    { head: t.outbox.goes, narrow: true, cell: (m) => (m.eta ? <Age at={m.eta} /> : t.common.none) },
  ]
  return (
    <>
      <PageTitle title={t.outbox.title}>
        {may && (
          <>
            <Bulk />
            <Button component={Link} href="/outbox/new">
              {t.outbox.compose}
            </Button>
          </>
        )}
      </PageTitle>
      <FilterField
        hint={t.outbox.filterHint}
        fields={[
          'status:open',
          'status:deferred',
          'status:held',
          'status:uncertain',
          'status:failed',
          'reason:',
          'account:',
          'to:',
          'subject:',
          'since:today',
          'before:',
          'flag:',
          'msgid:',
          'key:',
        ]}
      />
      <QuickFilters
        filters={[
          ...(['queued', 'deferred', 'held', 'uncertain', 'failed'] as const).map(
            (state) => [t.outbox.states[state] ?? state, `status:${state}`] as const,
          ),
          [`${t.outbox.states['sent'] ?? ''} · 24 h`, 'status:sent since:24h'],
        ]}
      />
      <List<OutboxEntryJson>
        topic="outbox"
        path="outbox"
        columns={columns}
        to={(m) => `/outbox/${m.id}`}
        label={(m) => m.subject ?? t.inbox.noSubject}
        empty={t.outbox.empty}
        none={t.outbox.none}
      />
    </>
  )
}

/** Counted first, then asked, then done by the service while everything else goes on. */
function Bulk() {
  const t = useT()
  const [filter] = useFilter()
  const [planned, setPlanned] = useState<{ change: string; count: number; oldest: string | null }>()
  const [error, setError] = useState<unknown>()
  const [run, setRun] = useState<BulkRunJson>()
  const start = useChange(
    ({ change, count, reason }: { change: string; count: number; reason: string }) =>
      ask<ChangeAnswer>('POST', 'outbox/changes', { change, filter, confirm: count, ...(reason !== '' && { reason }) }),
    ['outbox', 'runs'],
  )
  const plan = async (change: string): Promise<void> => {
    setError(undefined)
    try {
      const answer = await ask<ChangeAnswer>('POST', 'outbox/changes', { change, filter, dry_run: true })
      if (answer.kind === 'plan') setPlanned({ change, count: answer.count, oldest: answer.oldest_at })
    } catch (problem) {
      setError(problem)
    }
  }
  return (
    <>
      <Menu withinPortal position="bottom-end">
        <Menu.Target>
          <Button variant="default">{t.outbox.bulk}</Button>
        </Menu.Target>
        <Menu.Dropdown>
          {CHANGES.map((change) => (
            <Menu.Item key={change} onClick={() => void plan(change)}>
              {t.outbox.actions[change]}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      {error !== undefined && <ProblemNote error={error} />}
      {planned && planned.count === 0 && (
        <Alert
          withCloseButton
          closeButtonLabel={t.common.close}
          onClose={() => setPlanned(undefined)}
          color="gray"
          py="xs"
        >
          {t.outbox.bulkNone}
        </Alert>
      )}
      {planned && planned.count > 0 && (
        <Confirm
          title={t.outbox.actions[planned.change] ?? planned.change}
          text={t.outbox.consequences[planned.change]}
          action={t.outbox.countedActions[planned.change]?.(planned.count) ?? ''}
          danger={planned.change === 'cancel' || planned.change === 'resolve_resend'}
          withReason
          onClose={() => setPlanned(undefined)}
          onConfirm={async (reason) => {
            const answer = await start.mutateAsync({ ...planned, reason })
            if (answer.kind === 'run') setRun(answer)
          }}
        />
      )}
      {run !== undefined && <RunBar begun={run} />}
    </>
  )
}

/** `begun`: as it was when it began. */
export function RunBar({ begun }: { begun: BulkRunJson }) {
  const run = useGet<BulkRunJson>('runs', `runs/${begun.id}`, { every: 1_000 })
  const stop = useChange(() => ask('POST', `runs/${begun.id}/stop`, {}), ['runs'])
  return <RunProgress run={run.data ?? begun} onStop={() => stop.mutate(undefined)} />
}

export function RunProgress({ run, onStop }: { run: BulkRunJson; onStop: () => void }) {
  const t = useT()
  const format = useFormat()
  const may = useMay('operator')
  const percent = run.total === 0 ? 100 : Math.floor((100 * run.done) / run.total)
  const refused = Object.entries(run.refused)
  return (
    <Alert
      color={run.error ? 'red' : 'green'}
      variant="light"
      w="100%"
      title={`${t.outbox.run} ${run.id}: ${t.outbox.actions[run.change] ?? run.change}`}
      role="status"
    >
      <Progress value={percent} aria-label={`${percent} %`} mb="xs" />
      <Group justify="space-between">
        <Text size="sm">
          {t.outbox.runDone(run.changed, run.total)}
          {refused.map(([why, count]) => ` · ${t.outbox.runRefused(count)}: ${t.outbox.refusals[why] ?? why}`)}
          {run.error && ` · ${run.error}`}
          {` · ${run.started_by}, ${format.dateTime(run.started_at)}`}
        </Text>
        {may && run.finished_at === null && (
          <Button size="xs" variant="default" onClick={onStop} disabled={run.stop_asked}>
            {t.outbox.stop}
          </Button>
        )}
      </Group>
    </Alert>
  )
}
