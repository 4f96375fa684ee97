// What many pages are made of: lamps, ages, problems, copyable texts, questions before something is done.

import {
  Alert,
  Badge,
  Button,
  Code,
  Group,
  Modal,
  Skeleton,
  Stack,
  Text,
  TextInput,
  Title,
  Tooltip,
} from '@mantine/core'
import { useEffect, useState, type ReactNode } from 'react'
import { Link } from 'wouter'
import { Refused } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'

export type LampState = 'new' | 'ok' | 'late' | 'failing' | 'blocked' | 'paused'

const SHAPES: Readonly<Record<LampState, ReactNode>> = {
  ok: (
    <path
      d="M3 8.5 6.5 12 13 4.5"
      fill="none"
      stroke="currentColor"
      strokeWidth="2.4"
      strokeLinecap="round"
      strokeLinejoin="round"
    />
  ),
  new: <circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" strokeWidth="2" strokeDasharray="2.5 2.5" />,
  late: (
    <path
      d="M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11ZM8 5v3.4l2.2 1.4"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.9"
      strokeLinecap="round"
    />
  ),
  failing: (
    <path
      d="M8 2 14.5 13.5h-13ZM8 6.2v3.4M8 11.4v.4"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.8"
      strokeLinejoin="round"
      strokeLinecap="round"
    />
  ),
  blocked: (
    <path
      d="M5 1.8h6l3.2 3.2v6L11 14.2H5L1.8 11V5Zm-.2 6.2h6.4"
      fill="none"
      stroke="currentColor"
      strokeWidth="2"
      strokeLinejoin="round"
    />
  ),
  paused: <path d="M5.5 3.5v9M10.5 3.5v9" stroke="currentColor" strokeWidth="2.6" strokeLinecap="round" />,
}

export function Lamp({ state, bare }: { state: LampState | null; bare?: boolean }) {
  const t = useT()
  if (state === null)
    return (
      <Text c="dimmed" size="sm" component="span" title={t.lamp.none}>
        –
      </Text>
    )
  return (
    <span
      style={{
        color: `var(--lamp-${state})`,
        display: 'inline-flex',
        alignItems: 'center',
        gap: '0.4em',
        whiteSpace: 'nowrap',
      }}
    >
      <svg
        width="16"
        height="16"
        viewBox="0 0 16 16"
        aria-hidden={!bare}
        {...(bare && { role: 'img', 'aria-label': t.lamp[state] })}
      >
        {SHAPES[state]}
      </svg>
      {!bare && <span>{t.lamp[state]}</span>}
    </span>
  )
}

/** Relative, with the instant in a tooltip; it grows older by itself. */
/** `lasting`: how long it has lasted, and not when it was. */
export function Age({ at, lasting }: { at: string | null; lasting?: boolean }) {
  const t = useT()
  const format = useFormat()
  const [, tick] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 15_000)
    return () => clearInterval(timer)
  }, [])
  if (at === null) return <span>{t.common.never}</span>
  return (
    <time dateTime={at} title={format.dateTime(at)} style={{ whiteSpace: 'nowrap' }}>
      {lasting ? format.span(at) : format.relative(at)}
    </time>
  )
}

export function ProblemNote({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const t = useT()
  const problem = error instanceof Refused ? error.problem : undefined
  return (
    <Alert color="red" variant="light" title={problem?.title ?? t.common.wentWrong} role="alert">
      {problem?.detail && (
        <Text size="sm" className="anywhere">
          {problem.detail}
        </Text>
      )}
      {problem?.errors?.map(({ field, message }) => (
        <Text size="sm" key={`${field} ${message}`} className="anywhere">
          {field === '' ? message : `${field}: ${message}`}
        </Text>
      ))}
      {problem?.request_id && (
        <Text size="xs" c="dimmed">
          {t.common.requestId}: {problem.request_id}
        </Text>
      )}
      {onRetry && (
        <Button size="xs" variant="default" mt="xs" onClick={onRetry}>
          {t.common.retry}
        </Button>
      )}
    </Alert>
  )
}

/** What was asked for: a place-holder until it is there, a note where it is refused. */
export function Loaded<T>({
  query,
  children,
}: {
  query: { data: T | undefined; error: Error | null; refetch: () => unknown }
  children: (data: T) => ReactNode
}) {
  const t = useT()
  if (query.data !== undefined) return <>{children(query.data)}</>
  if (query.error) return <ProblemNote error={query.error} onRetry={() => void query.refetch()} />
  return (
    <div aria-busy="true" aria-label={t.common.loading}>
      <Skeleton h={28} mb="sm" />
      <Skeleton h={28} mb="sm" />
      <Skeleton h={28} w="60%" />
    </div>
  )
}

export function PageTitle({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <Group justify="space-between" mb="md" gap="sm">
      <Title order={1} size="h2" className="anywhere">
        {title}
      </Title>
      {children && <Group gap="xs">{children}</Group>}
    </Group>
  )
}

export function Empty({ children }: { children: ReactNode }) {
  return (
    <Text c="dimmed" py="xl" ta="center">
      {children}
    </Text>
  )
}

export function Copyable({ text, label }: { text: string; label: string }) {
  const t = useT()
  const [copied, setCopied] = useState(false)
  return (
    <Stack gap="xs">
      <Code block aria-label={label} className="anywhere" style={{ whiteSpace: 'pre-wrap' }}>
        {text}
      </Code>
      <Button
        size="xs"
        variant="default"
        style={{ alignSelf: 'flex-start' }}
        onClick={() =>
          void navigator.clipboard.writeText(text).then(() => {
            setCopied(true)
            setTimeout(() => setCopied(false), 2_000)
          })
        }
      >
        {copied ? t.common.copied : t.common.copy}
      </Button>
    </Stack>
  )
}

/**
 * A question before something is done. `typed`: what has to be typed first; `withReason`: a reason may be given, for the audit log.
 */
export function Confirm({
  title,
  text,
  action,
  danger,
  typed,
  withReason,
  onClose,
  onConfirm,
}: {
  title: string
  text: ReactNode
  action: string
  danger?: boolean
  typed?: string
  withReason?: boolean
  onClose: () => void
  onConfirm: (reason: string) => Promise<unknown>
}) {
  const t = useT()
  const [reason, setReason] = useState('')
  const [word, setWord] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const confirm = async (): Promise<void> => {
    setBusy(true)
    setError(undefined)
    try {
      await onConfirm(reason)
      onClose()
    } catch (problem) {
      setError(problem)
      setBusy(false)
    }
  }
  return (
    <Modal opened onClose={onClose} title={title} centered closeButtonProps={{ 'aria-label': t.common.close }}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          // a dialog may stand in a form of its page, which is not sent with it
          event.stopPropagation()
          void confirm()
        }}
      >
        <Stack>
          <Text component="div">{text}</Text>
          {withReason && (
            <TextInput
              label={t.common.reason}
              description={t.common.reasonHint}
              value={reason}
              onChange={(e) => setReason(e.currentTarget.value)}
              maxLength={500}
            />
          )}
          {typed !== undefined && (
            <TextInput
              label={t.common.confirmType(typed)}
              value={word}
              onChange={(e) => setWord(e.currentTarget.value)}
              autoComplete="off"
              data-autofocus
            />
          )}
          {error !== undefined && <ProblemNote error={error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t.common.cancel}
            </Button>
            <Button
              type="submit"
              color={danger ? 'red' : 'post'}
              loading={busy}
              disabled={typed !== undefined && word.trim() !== typed}
            >
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  )
}

const STATE_COLOURS: Readonly<Record<string, string>> = {
  sent: 'ok',
  partial: 'late',
  failed: 'blocked',
  expired: 'blocked',
  bounced: 'blocked',
  uncertain: 'failing',
  held: 'paused',
  deferred: 'late',
}

/** A word in a frame; the colour of its dot says nothing that the word does not. */
export function Chip({ colour, children }: { colour?: string; children: ReactNode }) {
  return (
    <Badge
      variant="default"
      tt="none"
      fw={600}
      leftSection={colour === undefined ? undefined : <Dot colour={colour} />}
      h="auto"
      py={2}
      style={{ flexShrink: 0, maxWidth: '18rem', minWidth: 'min-content' }}
      styles={{ label: { whiteSpace: 'normal', overflowWrap: 'normal' } }}
    >
      {children}
    </Badge>
  )
}

const Dot = ({ colour }: { colour: string }) => (
  <svg width="8" height="8" viewBox="0 0 8 8" aria-hidden="true">
    <circle cx="4" cy="4" r="4" fill={`var(--lamp-${colour})`} />
  </svg>
)

export function StateChip({ state, reason }: { state: string; reason?: string | null }) {
  const t = useT()
  const because = reason ? ` (${t.outbox.reasons[reason] ?? reason})` : ''
  return <Chip colour={STATE_COLOURS[state] ?? 'new'}>{(t.outbox.states[state] ?? state) + because}</Chip>
}

export function TextLink({ to, children }: { to: string; children: ReactNode }) {
  return (
    <Link href={to} className="quiet-link">
      {children}
    </Link>
  )
}

export function Facts({ rows }: { rows: readonly (readonly [label: string, value: ReactNode])[] }) {
  return (
    <dl
      style={{ display: 'grid', gridTemplateColumns: 'minmax(8rem, max-content) 1fr', gap: '0.35rem 1rem', margin: 0 }}
    >
      {rows
        .filter(([, value]) => value !== null && value !== undefined && value !== '')
        .map(([label, value]) => (
          <div key={label} style={{ display: 'contents' }}>
            <Text component="dt" size="sm" c="dimmed">
              {label}
            </Text>
            <Text component="dd" size="sm" m={0} className="anywhere">
              {value}
            </Text>
          </div>
        ))}
    </dl>
  )
}

/** What is wider than a small screen; it can be scrolled by keys as well (WCAG 2.1.1). */
export function Scroll({ minWidth, children }: { minWidth: number; children: ReactNode }) {
  return (
    // eslint-disable-next-line
    <div style={{ overflowX: 'auto' }} tabIndex={0}>
      <div style={{ minWidth }}>{children}</div>
    </div>
  )
}

export function Hint({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Tooltip label={label} multiline maw={320} withArrow>
      <span>{children}</span>
    </Tooltip>
  )
}
