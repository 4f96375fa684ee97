// One outgoing message: its state in a sentence, its recipients, every attempt with what was said, and what may be done now.

import { Alert, Button, Code, Group, Stack, Table, Text, Title } from '@mantine/core'
import { useState } from 'react'
import type { ChangeAnswer, OutboxDetailJson } from '../../../src/contract/outbox.ts'
import { ask, useChange, useGet } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Age, Confirm, Facts, Loaded, PageTitle, ProblemNote, StateChip, TextLink, Scroll } from '../parts/basics.tsx'
import { useMay } from '../person.ts'

export default function OutboxMessagePage({ id }: { id: string }) {
  const message = useGet<OutboxDetailJson>('outbox', `outbox/${id}`)
  return <Loaded query={message}>{(data) => <Message message={data} />}</Loaded>
}

/** What makes sense in a state; the server decides. */
function actionsFor(m: OutboxDetailJson): string[] {
  if (m.state === 'uncertain') return ['resolve_sent', 'resolve_resend', ...(m.next_attempt_at ? ['hold'] : [])]
  if (m.state === 'held')
    return [
      ...(m.hold_reason === 'manual' || m.hold_reason === 'after_restore' ? ['release'] : ['retry', 'hold']),
      'cancel',
    ]
  if (m.state === 'failed' || m.state === 'expired' || m.state === 'partial') return ['retry']
  if (m.finished_at !== null) return []
  return [...(m.state === 'queued' || m.state === 'deferred' ? ['retry'] : []), 'hold', 'cancel']
}

const ASKED_FIRST = ['cancel', 'resolve_sent', 'resolve_resend']

function Message({ message: m }: { message: OutboxDetailJson }) {
  const t = useT()
  const format = useFormat()
  const may = useMay('operator')
  const [asking, setAsking] = useState<string>()
  const change = useChange(
    ({ what, reason }: { what: string; reason: string }) =>
      ask<ChangeAnswer>('POST', 'outbox/changes', { change: what, ids: [m.id], ...(reason !== '' && { reason }) }),
    ['outbox'],
  )
  const refused = change.data?.kind === 'done' ? change.data.refused[0] : undefined
  const act = (what: string): void =>
    ASKED_FIRST.includes(what) ? setAsking(what) : change.mutate({ what, reason: '' })
  return (
    <Stack>
      <PageTitle title={m.subject ?? t.inbox.noSubject}>
        {may &&
          actionsFor(m).map((what, at) => (
            <Button
              key={what}
              variant={at === 0 ? 'filled' : 'default'}
              loading={change.isPending && change.variables.what === what}
              onClick={() => act(what)}
            >
              {t.outbox.actions[what]}
            </Button>
          ))}
      </PageTitle>
      {change.error && <ProblemNote error={change.error} />}
      {refused && <Alert color="yellow">{t.outbox.refusals[refused.reason] ?? refused.reason}</Alert>}
      {asking && (
        <Confirm
          title={t.outbox.actions[asking] ?? asking}
          text={t.outbox.consequences[asking]}
          action={t.outbox.actions[asking] ?? asking}
          danger={asking !== 'resolve_sent'}
          withReason
          onClose={() => setAsking(undefined)}
          onConfirm={(reason) => change.mutateAsync({ what: asking, reason })}
        />
      )}
      <Group gap="sm">
        <StateChip state={m.state} reason={m.hold_reason} />
        {m.eta && (
          <Text size="sm">
            {t.outbox.goes}: <Age at={m.eta} />
          </Text>
        )}
        {m.finished_at === null && (
          <Text size="sm" c="dimmed">
            {t.outbox.deadline}: <Age at={m.expires_at} />
          </Text>
        )}
      </Group>
      {m.state === 'uncertain' && (
        <Alert color="orange" title={t.outbox.uncertainTitle}>
          {t.outbox.uncertainText}
        </Alert>
      )}
      {m.repeated && <Alert color="yellow">{t.outbox.repeated}</Alert>}
      {m.hold_reason === 'account_blocked' &&
        m.account_flags.map((flag) => (
          <Alert
            key={flag.flag}
            color="red"
            variant="light"
            title={<TextLink to={`/accounts/${m.account_id}`}>{m.account}</TextLink>}
          >
            <span className="mono anywhere">{flag.evidence}</span>
          </Alert>
        ))}
      <Facts
        rows={[
          [
            t.inbox.account,
            <TextLink key="a" to={`/accounts/${m.account_id}`}>
              {m.account}
            </TextLink>,
          ],
          [t.inbox.from, m.envelope_from === '' ? '<>' : m.envelope_from],
          [t.outbox.created, format.dateTime(m.created_at)],
          [t.inbox.size, m.size_bytes === null ? null : format.bytes(m.size_bytes)],
          [
            t.inbox.messageId,
            <span key="m" className="mono">
              {m.message_id}
            </span>,
          ],
          ['Idempotency-Key', m.idempotency_key && <span className="mono">{m.idempotency_key}</span>],
        ]}
      />
      <section>
        <Title order={2} size="h5" mb="xs">
          {t.outbox.recipients}
        </Title>
        <Scroll minWidth={480}>
          <Table aria-label={t.outbox.recipients}>
            <Table.Tbody>
              {m.recipients.map((r) => (
                <Table.Tr key={r.address}>
                  <Table.Td className="anywhere">{r.address}</Table.Td>
                  <Table.Td>{t.outbox.recipientStates[r.state] ?? r.state}</Table.Td>
                  <Table.Td className="anywhere mono">{r.reply}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Scroll>
      </section>
      <section>
        <Title order={2} size="h5" mb="xs">
          {t.outbox.timeline}
        </Title>
        <ol className="timeline">
          {m.delivery_attempts.toReversed().map((attempt) => (
            <li key={attempt.number}>
              <Text size="sm">
                <time dateTime={attempt.started_at}>{format.dateTime(attempt.started_at)}</time> ·{' '}
                <b>{t.outbox.attempt(attempt.number)}</b> ·{' '}
                {attempt.outcome ? (t.outbox.outcomes[attempt.outcome] ?? attempt.outcome) : t.outbox.underWay} ·{' '}
                {t.outbox.phases[attempt.phase] ?? attempt.phase}
                {attempt.step && ` (${attempt.step})`}
              </Text>
              {attempt.reply && (
                <Text size="sm" c="dimmed" className="anywhere mono">
                  {attempt.reply}
                </Text>
              )}
              {attempt.transcript && (
                <details>
                  <summary>{t.outbox.transcript}</summary>
                  <Code block className="transcript" tabIndex={0}>
                    {attempt.transcript}
                  </Code>
                </details>
              )}
            </li>
          ))}
          <li>
            <Text size="sm">
              <time dateTime={m.created_at}>{format.dateTime(m.created_at)}</time> · {t.outbox.accepted}
            </Text>
          </li>
        </ol>
      </section>
    </Stack>
  )
}
