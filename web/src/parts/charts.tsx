// The pictures of the pages, as SVG with a table twin: mail by the hour, the pulse of polls, the lanes of an account, what expires.

import { Button, Group, Table, Text } from '@mantine/core'
import { useState } from 'react'
import type { AccountHealthJson } from '../../../src/contract/accounts.ts'
import type { OverviewJson } from '../../../src/contract/overview.ts'
import type { RunwayItemJson } from '../../../src/contract/runway.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Scroll } from './basics.tsx'

const WIDTH = 960
const HALF = 70

/** Received upwards, handed over downwards, rejected behind it. */
export function HourChart({ hours }: { hours: OverviewJson['hours'] }) {
  const t = useT()
  const format = useFormat()
  const [table, setTable] = useState(false)
  const most = Math.max(1, ...hours.flatMap((h) => [h.received, h.handed_over + h.rejected]))
  const step = WIDTH / Math.max(1, hours.length)
  const scale = (n: number): number => (n === 0 ? 0 : Math.max(2, (n / most) * (HALF - 6)))
  const total = (pick: (h: OverviewJson['hours'][number]) => number): string =>
    format.number(hours.reduce((sum, h) => sum + pick(h), 0))
  const summary = `${t.overview.chart}: ${total((h) => h.received)} ${t.overview.received}, ${total((h) => h.handed_over)} ${t.overview.handedOver}, ${total((h) => h.rejected)} ${t.overview.rejected}`
  return (
    <figure style={{ margin: 0 }}>
      <Group justify="space-between" mb={4}>
        <Text component="figcaption" size="sm">
          {summary}
        </Text>
        <Button size="compact-xs" variant="subtle" onClick={() => setTable(!table)}>
          {table ? t.common.asChart : t.common.asTable}
        </Button>
      </Group>
      {table ? (
        <Scroll minWidth={320}>
          <Table striped aria-label={t.overview.chart}>
            <Table.Thead>
              <Table.Tr>
                {[t.overview.hour, t.overview.received, t.overview.handedOver, t.overview.rejected].map((head) => (
                  <Table.Th key={head} scope="col">
                    {head}
                  </Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {hours.map((h) => (
                <Table.Tr key={h.at}>
                  <Table.Td>{format.hour(h.at)}</Table.Td>
                  <Table.Td>{format.number(h.received)}</Table.Td>
                  <Table.Td>{format.number(h.handed_over)}</Table.Td>
                  <Table.Td>{format.number(h.rejected)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Scroll>
      ) : (
        <svg
          viewBox={`0 0 ${WIDTH} ${HALF * 2 + 18}`}
          width="100%"
          role="img"
          aria-label={summary}
          style={{ display: 'block' }}
        >
          {hours.map((h, at) => {
            const x = at * step + step * 0.14
            const width = step * 0.72
            const sent = scale(h.handed_over)
            return (
              <g key={h.at}>
                <title>{`${format.hour(h.at)}: ${h.received} ${t.overview.received}, ${h.handed_over} ${t.overview.handedOver}, ${h.rejected} ${t.overview.rejected}`}</title>
                <rect x={at * step} y={0} width={step} height={HALF * 2} fill="transparent" />
                <rect
                  x={x}
                  y={HALF - scale(h.received)}
                  width={width}
                  height={scale(h.received)}
                  fill="var(--bar-received)"
                  rx="1.5"
                />
                <rect x={x} y={HALF + 1} width={width} height={sent} fill="var(--bar-sent)" rx="1.5" />
                <rect
                  x={x}
                  y={HALF + 1 + sent}
                  width={width}
                  height={scale(h.rejected)}
                  fill="var(--bar-rejected)"
                  rx="1.5"
                />
                {at % 4 === 0 && (
                  <text
                    x={at * step + step / 2}
                    y={HALF * 2 + 14}
                    fontSize="12"
                    textAnchor="middle"
                    fill="currentColor"
                    opacity="0.75"
                  >
                    {format.hour(h.at)}
                  </text>
                )}
              </g>
            )
          })}
          <line x1="0" x2={WIDTH} y1={HALF + 0.5} y2={HALF + 0.5} stroke="currentColor" opacity="0.35" />
        </svg>
      )}
    </figure>
  )
}

const CELLS = 48

/** The last polls: a low bar found nothing, a high one brought mail, a gap with a cross failed. */
export function Pulse({ pulse }: { pulse: string }) {
  const t = useT()
  const signs = pulse.slice(-CELLS).padStart(CELLS, ' ')
  const count = (sign: string): number => signs.split(sign).length - 1
  const label = t.accounts.pulseText(count('.'), count('+'), count('x'))
  return (
    <svg
      viewBox={`0 0 ${CELLS * 3} 16`}
      width={CELLS * 3}
      height="16"
      role="img"
      aria-label={label}
      style={{ display: 'block' }}
    >
      <title>{label}</title>
      {Array.from(signs, (sign, at) => {
        if (sign === ' ')
          return <rect key={at} x={at * 3} y={14} width="2" height="1" fill="currentColor" opacity="0.25" />
        if (sign === 'x')
          return (
            <path
              key={at}
              d={`M${at * 3} 4l2 3m0-3l-2 3M${at * 3 + 1} 10v5`}
              stroke="var(--lamp-blocked)"
              strokeWidth="1"
            />
          )
        const height = sign === '+' ? 14 : 5
        return (
          <rect
            key={at}
            x={at * 3}
            y={15 - height}
            width="2"
            height={height}
            fill="var(--lamp-ok)"
            opacity={sign === '+' ? 1 : 0.6}
          />
        )
      })}
    </svg>
  )
}

interface Band {
  readonly from: number
  readonly to: number
  readonly state: string
}

/** What a lane was like, from the events of the period and the last one before. */
export function bandsOf(health: AccountHealthJson, direction: 'receive' | 'send', now: string): Band[] {
  const [since, until] = [new Date(health.since).getTime(), new Date(health.until).getTime()]
  const events = health.events.filter((event) => event.direction === direction)
  const bands: Band[] = []
  let from = since
  let state = events[0]?.from ?? now
  for (const event of events) {
    const at = Math.max(since, new Date(event.at).getTime())
    if (at > from) bands.push({ from, to: at, state })
    from = at
    state = event.to
  }
  if (until > from) bands.push({ from, to: until, state })
  return bands
}

const LANE = 22

export function HealthLanes({
  health,
  lanes,
}: {
  health: AccountHealthJson
  lanes: readonly { direction: 'receive' | 'send'; state: string }[]
}) {
  const t = useT()
  const format = useFormat()
  const [since, until] = [new Date(health.since).getTime(), new Date(health.until).getTime()]
  const x = (at: number): number => ((at - since) / (until - since)) * WIDTH
  return (
    <div>
      {lanes.map(({ direction, state }) => {
        const bands = bandsOf(health, direction, state)
        const words = bands
          .map(
            (band) =>
              `${t.lamp[band.state as 'ok'] ?? band.state} ${format.dateTime(new Date(band.from).toISOString())}`,
          )
          .join(', ')
        return (
          <div
            key={direction}
            style={{ display: 'grid', gridTemplateColumns: '5rem 1fr', alignItems: 'center', gap: '0.5rem' }}
          >
            <Text size="sm">{t.lamp[direction]}</Text>
            <svg
              viewBox={`0 0 ${WIDTH} ${LANE}`}
              width="100%"
              height={LANE}
              preserveAspectRatio="none"
              role="img"
              aria-label={`${t.lamp[direction]}: ${words}`}
            >
              {bands.map((band) => (
                <rect
                  key={band.from}
                  x={x(band.from)}
                  y={3}
                  width={Math.max(1.5, x(band.to) - x(band.from))}
                  height={LANE - 6}
                  fill={`var(--lamp-${band.state})`}
                  opacity={band.state === 'ok' ? 0.55 : band.state === 'new' ? 0.2 : 1}
                >
                  <title>{`${t.lamp[band.state as 'ok'] ?? band.state}: ${format.dateTime(new Date(band.from).toISOString())} – ${format.dateTime(new Date(band.to).toISOString())}`}</title>
                </rect>
              ))}
            </svg>
          </div>
        )
      })}
      <Group justify="space-between" pl="5.5rem">
        <Text size="xs" c="dimmed">
          {format.dateTime(health.since)}
        </Text>
        <Text size="xs" c="dimmed">
          {format.dateTime(health.until)}
        </Text>
      </Group>
    </div>
  )
}

const RULER_DAYS = 180

/** What ends within half a year, on a line. */
/** `small`: as wide as a card. */
export function ExpiryRuler({ items, small }: { items: readonly RunwayItemJson[]; small?: boolean }) {
  const t = useT()
  const shown = items.filter(({ days_left: days }) => days !== null && days <= RULER_DAYS)
  const width = small ? 260 : WIDTH
  const x = (days: number): number => 12 + (Math.max(0, days) / RULER_DAYS) * (width - 24)
  const words = shown
    .map((item) => `${item.title} ${item.subject} ${t.overview.inDays(item.days_left ?? 0)}`)
    .join('; ')
  return (
    <svg viewBox={`0 0 ${width} 40`} width="100%" role="img" aria-label={words === '' ? t.overview.noRunway : words}>
      <line x1="12" x2={width - 12} y1="14" y2="14" stroke="currentColor" opacity="0.4" />
      {[0, 30, 60, 90, 120, 150, 180]
        .filter((days) => !small || days % 60 === 0)
        .map((days) => (
          <g key={days}>
            <line x1={x(days)} x2={x(days)} y1="10" y2="18" stroke="currentColor" opacity="0.4" />
            <text x={x(days)} y="34" fontSize="12" textAnchor="middle" fill="currentColor" opacity="0.75">
              {days}
            </text>
          </g>
        ))}
      {shown.map((item) => (
        <circle
          key={`${item.kind} ${item.subject}`}
          cx={x(item.days_left ?? 0)}
          cy="14"
          r="6"
          fill={
            (item.days_left ?? 0) <= 7
              ? 'var(--lamp-blocked)'
              : (item.days_left ?? 0) <= 30
                ? 'var(--lamp-failing)'
                : 'var(--lamp-late)'
          }
        >
          <title>{`${item.title}: ${item.subject}, ${t.overview.inDays(item.days_left ?? 0)}`}</title>
        </circle>
      ))}
    </svg>
  )
}
