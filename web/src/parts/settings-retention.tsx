// How long what is over is kept, and the legal hold. What would go is counted before anything is agreed to.

import { Alert, Button, Group, NumberInput, Stack, Table, Text, TextInput, Title } from '@mantine/core'
import { useState } from 'react'
import type { RetentionChange, RetentionJson, RetentionPreviewJson } from '../../../src/contract/retention.ts'
import { ask, useChange, useGet } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Age, Confirm, Loaded, ProblemNote, Scroll } from './basics.tsx'
import { ConfirmButton } from './confirm-button.tsx'

const KINDS = ['received', 'sent', 'transcripts', 'audit'] as const
type Kind = (typeof KINDS)[number]
type Days = Record<Kind, number | null>

export function Retention() {
  const kept = useGet<RetentionJson>('still', 'retention')
  return (
    <Loaded query={kept}>
      {(data) => (
        <Stack maw={760} gap="xl">
          {data.hold && <LegalHold data={data} />}
          <DaysForm key={data.etag} data={data} />
          {!data.hold && <LegalHold data={data} />}
        </Stack>
      )}
    </Loaded>
  )
}

const change = (body: RetentionChange, etag: string) =>
  ask<RetentionJson>('PATCH', 'retention', body, { 'if-match': `"${etag}"` })

function DaysForm({ data }: { data: RetentionJson }) {
  const t = useT()
  const format = useFormat()
  const before: Days = {
    received: data.received.days,
    sent: data.sent.days,
    transcripts: data.transcripts.days,
    audit: data.audit.days,
  }
  const [days, setDays] = useState(before)
  const [going, setGoing] = useState<RetentionPreviewJson>()
  const changed = Object.fromEntries(KINDS.filter((of) => days[of] !== before[of]).map((of) => [of, days[of]]))
  const look = useChange(() => ask<RetentionPreviewJson>('POST', 'retention/preview', { days: changed }), [])
  const save = useChange(() => change({ days: changed }, data.etag), ['still'])
  const nothingChanged = Object.keys(changed).length === 0
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        if (!nothingChanged) look.mutate(undefined, { onSuccess: setGoing })
      }}
    >
      <Stack>
        <Text>{t.retention.intro}</Text>
        <Scroll minWidth={620}>
          <Table aria-label={t.retention.title}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t.retention.what}</Table.Th>
                <Table.Th>{t.retention.days}</Table.Th>
                <Table.Th ta="right">{t.retention.size}</Table.Th>
                <Table.Th>{t.retention.oldest}</Table.Th>
                <Table.Th ta="right">{t.retention.removed}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {KINDS.map((of) => (
                <Table.Tr key={of}>
                  <Table.Td>
                    {t.retention.kinds[of]}
                    <Text size="xs" c="dimmed">
                      {t.retention.hints[of]}
                    </Text>
                  </Table.Td>
                  <Table.Td>
                    <NumberInput
                      aria-label={`${t.retention.days}: ${t.retention.kinds[of]}`}
                      placeholder={t.retention.forEver}
                      min={data[of].fewest_days}
                      max={36_500}
                      allowDecimal={false}
                      w={130}
                      value={days[of] ?? ''}
                      onChange={(value) => setDays({ ...days, [of]: value === '' ? null : Number(value) })}
                    />
                  </Table.Td>
                  <Table.Td ta="right" style={{ whiteSpace: 'nowrap' }}>
                    {format.bytes(data[of].bytes)}
                  </Table.Td>
                  <Table.Td>{data[of].oldest_at ? <Age at={data[of].oldest_at} /> : '–'}</Table.Td>
                  <Table.Td ta="right">{format.number(data[of].removed)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Scroll>
        {look.error && <ProblemNote error={look.error} />}
        <Group>
          <Button type="submit" loading={look.isPending} disabled={nothingChanged}>
            {t.common.save}
          </Button>
          <Text size="sm" c="dimmed">
            {t.retention.lastSweep}: <Age at={data.swept_at} />
          </Text>
        </Group>
      </Stack>
      {going && (
        <Agree
          going={going}
          changed={KINDS.filter((of) => of in changed)}
          held={data.hold !== null}
          onClose={() => setGoing(undefined)}
          onConfirm={() => save.mutateAsync(undefined)}
        />
      )}
    </form>
  )
}

function Agree({
  going,
  changed,
  held,
  onClose,
  onConfirm,
}: {
  going: RetentionPreviewJson
  changed: readonly Kind[]
  held: boolean
  onClose: () => void
  onConfirm: () => Promise<unknown>
}) {
  const t = useT()
  const lost = changed.filter((of) => (going[of] ?? 0) > 0)
  return (
    <Confirm
      title={t.retention.title}
      text={
        lost.length === 0 ? (
          t.retention.nothingGoes
        ) : (
          <Stack gap={4}>
            <Text>{held ? t.retention.goesAfterHold : t.retention.goes}</Text>
            {lost.map((of) => (
              <Text key={of} fw={600}>
                {t.retention.kinds[of]}: {t.retention.count(going[of] ?? 0)}
              </Text>
            ))}
            <Text>{t.retention.forGood}</Text>
          </Stack>
        )
      }
      action={t.common.save}
      {...(lost.length > 0 && { danger: true, typed: t.retention.word })}
      onClose={onClose}
      onConfirm={onConfirm}
    />
  )
}

function LegalHold({ data }: { data: RetentionJson }) {
  const t = useT()
  const [reason, setReason] = useState('')
  const set = useChange(() => change({ hold: { reason } }, data.etag), ['still'])
  const lift = useChange(() => change({ hold: null }, data.etag), ['still'])
  const { hold } = data
  return (
    <section>
      <Title order={2} size="h5" mb="xs">
        {t.retention.hold}
      </Title>
      {hold ? (
        <Alert color="orange" title={t.retention.held}>
          <Text size="sm" className="anywhere">
            {hold.reason}
          </Text>
          <Text size="sm" c="dimmed" mb="xs">
            {hold.by}, <Age at={hold.since} />
          </Text>
          <ConfirmButton
            size="xs"
            variant="default"
            label={t.retention.lift}
            text={t.retention.liftText}
            danger
            onConfirm={() => lift.mutateAsync(undefined)}
          />
        </Alert>
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault()
            set.mutate(undefined)
          }}
        >
          <Stack gap="xs">
            <Text>{t.retention.holdText}</Text>
            <Group align="end">
              <TextInput
                label={t.retention.holdReason}
                value={reason}
                onChange={(e) => setReason(e.currentTarget.value)}
                maxLength={500}
                required
                style={{ flex: '1 1 16rem' }}
              />
              <Button type="submit" variant="default" loading={set.isPending} disabled={reason.trim() === ''}>
                {t.retention.setHold}
              </Button>
            </Group>
            {set.error && <ProblemNote error={set.error} />}
          </Stack>
        </form>
      )}
    </section>
  )
}
