// The connection test, step by step as it runs: what each proves, and where one fails, what it means, who must act, what to click.

import { Alert, Button, Checkbox, Group, Modal, Stack, Text } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import type { AccountDetailJson, TestStepJson } from '../../../src/contract/accounts.ts'
import { address, Refused } from '../api.ts'
import { useFormat, useLanguage, useT } from '../i18n/index.ts'
import { ProblemNote } from './basics.tsx'

interface End {
  readonly before: string | null
  readonly changed: readonly { title: string; was: string; now: string }[]
}

const MARKS = { ok: '✔', note: '!', failed: '✋', skipped: '–' } as const
const COLOURS = {
  ok: 'var(--lamp-ok)',
  note: 'var(--lamp-late)',
  failed: 'var(--lamp-blocked)',
  skipped: 'var(--lamp-new)',
} as const

export function StepList({ steps }: { steps: readonly TestStepJson[] }) {
  const t = useT()
  const format = useFormat()
  return (
    <ol style={{ listStyle: 'none', margin: 0, padding: 0 }}>
      {steps.map((step) => (
        <li
          key={`${step.step} ${step.side ?? ''}`}
          style={{ padding: '0.35rem 0', borderBottom: '1px solid var(--mantine-color-default-border)' }}
        >
          <Group gap="sm" wrap="nowrap" align="flex-start">
            <Text component="span" fw={700} w={20} c={COLOURS[step.state]} aria-hidden="true">
              {MARKS[step.state]}
            </Text>
            <div style={{ flex: 1, minWidth: 0 }}>
              <Group justify="space-between" gap="xs" wrap="nowrap">
                <Text size="sm" fw={600}>
                  {step.step}. {step.title}
                  {step.side && !/\(/.test(step.title) ? ` (${step.side.toUpperCase()})` : ''}{' '}
                  <Text component="span" size="xs" c="dimmed">
                    {step.state === 'failed' ? t.test.failedState : t.test[step.state]}
                  </Text>
                </Text>
                {step.state !== 'skipped' && (
                  <Text size="xs" c="dimmed" style={{ whiteSpace: 'nowrap' }}>
                    {format.number(step.ms)} ms
                  </Text>
                )}
              </Group>
              <Text size="xs" c="dimmed" className="anywhere mono">
                {step.evidence}
              </Text>
              {step.next_try_at && (
                <Text size="sm">
                  {t.test.nextTry}: {format.dateTime(step.next_try_at)}
                </Text>
              )}
              {step.remedy && (
                <Alert
                  color={step.state === 'failed' ? 'red' : 'yellow'}
                  variant="light"
                  mt={4}
                  title={step.remedy.label}
                >
                  <Text size="sm">
                    <b>{t.test.meaning}:</b> {step.remedy.meaning}
                  </Text>
                  <Text size="sm">
                    <b>{t.test.actor}:</b> {step.remedy.actor}
                  </Text>
                  {step.remedy.steps.length > 0 && (
                    <ol style={{ margin: '0.25rem 0 0', paddingLeft: '1.4rem' }}>
                      {step.remedy.steps.map((one) => (
                        <Text component="li" size="sm" key={one} className="anywhere">
                          {one}
                        </Text>
                      ))}
                    </ol>
                  )}
                </Alert>
              )}
            </div>
          </Group>
        </li>
      ))}
    </ol>
  )
}

export function ConnectionTest({
  account,
  onClose,
}: {
  account: Pick<AccountDetailJson, 'id' | 'email'>
  onClose: () => void
}) {
  const t = useT()
  return (
    <Modal
      opened
      onClose={onClose}
      title={`${t.test.title}: ${account.email}`}
      size="xl"
      closeButtonProps={{ 'aria-label': t.common.close }}
    >
      <TestRun account={account} />
    </Modal>
  )
}

export function TestRun({ account, auto }: { account: Pick<AccountDetailJson, 'id' | 'email'>; auto?: boolean }) {
  const t = useT()
  const format = useFormat()
  const language = useLanguage()
  const client = useQueryClient()
  const [steps, setSteps] = useState<readonly TestStepJson[]>([])
  const [state, setState] = useState<'new' | 'running' | 'over' | 'broken'>('new')
  const [end, setEnd] = useState<End>()
  const [error, setError] = useState<unknown>()
  const [readOne, setReadOne] = useState(false)
  const [roundTrip, setRoundTrip] = useState(false)

  const run = async (): Promise<void> => {
    setSteps([])
    setEnd(undefined)
    setError(undefined)
    setState('running')
    try {
      for await (const line of lines(account.id, language, { read_one: readOne, round_trip: roundTrip })) {
        if (line.kind === 'step') setSteps((before) => [...before, line as unknown as TestStepJson])
        else if (line.kind === 'end') setEnd(line as unknown as End)
        else setState('broken')
      }
      setState((before) => (before === 'broken' ? before : 'over'))
    } catch (problem) {
      setError(problem)
      setState('broken')
    }
    void client.invalidateQueries({ queryKey: ['accounts'] })
  }
  const failed = steps.filter((step) => step.state === 'failed').length
  return (
    <Stack>
      {state !== 'running' && (
        <>
          <Text size="sm" c="dimmed">
            {t.test.oneLogin}
          </Text>
          <Group>
            <Checkbox label={t.test.readOne} checked={readOne} onChange={(e) => setReadOne(e.currentTarget.checked)} />
            <Checkbox
              label={t.test.roundTrip}
              checked={roundTrip}
              onChange={(e) => setRoundTrip(e.currentTarget.checked)}
            />
          </Group>
          <Button
            onClick={() => void run()}
            style={{ alignSelf: 'flex-start' }}
            {...(!auto && { 'data-autofocus': true })}
          >
            {t.test.start}
          </Button>
        </>
      )}
      {state === 'running' && <Text>{t.test.running}</Text>}
      <StepList steps={steps} />
      <div aria-live="polite">
        {state === 'over' && (
          <Alert color={failed > 0 ? 'red' : steps.some((step) => step.next_try_at) ? 'yellow' : 'green'}>
            {failed > 0
              ? t.test.failed(failed)
              : steps.some((step) => step.next_try_at)
                ? t.test.incomplete
                : t.test.passed}
          </Alert>
        )}
        {state === 'broken' &&
          (error === undefined ? <Alert color="red">{t.test.broken}</Alert> : <ProblemNote error={error} />)}
      </div>
      {end && end.before && end.changed.length > 0 && (
        <Text size="sm">
          {t.test.was} ({format.dateTime(end.before)}): {end.changed.map(({ title }) => title).join(', ')}
        </Text>
      )}
    </Stack>
  )
}

/** One JSON object per line, as they come. */
async function* lines(id: number, language: string, options: object): AsyncGenerator<{ kind: string }> {
  const response = await fetch(address(`api/v1/accounts/${id}/test?lang=${language}`), {
    method: 'POST',
    credentials: 'same-origin',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(options),
  })
  if (!response.ok || !response.body) throw new Refused(await response.json())
  let rest = ''
  const decoder = new TextDecoder()
  const reader = response.body.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    rest += decoder.decode(value, { stream: !done })
    const all = rest.split('\n')
    rest = all.pop() ?? ''
    for (const line of all) if (line !== '') yield JSON.parse(line) as { kind: string }
    if (done) return
  }
}
