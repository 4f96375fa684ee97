// Lists: a filter in the one language of filters, rows that are links, more on demand; the filter stands in the address.

import { Button, Center, Group, Table, Text, TextInput } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useEffect, useState, type ReactNode } from 'react'
import { useLocation, useSearch } from 'wouter'
import { usePages, type Topic } from '../api.ts'
import { useT } from '../i18n/index.ts'
import { Empty, ProblemNote, Scroll } from './basics.tsx'

export interface Column<T> {
  readonly head: string
  readonly cell: (row: T) => ReactNode
  readonly narrow?: boolean
  readonly wide?: boolean
}

/** The filter of the address, and how it is changed. */
export function useFilter(): [filter: string, setFilter: (filter: string) => void] {
  const search = useSearch()
  const [path, go] = useLocation()
  const filter = new URLSearchParams(search).get('filter') ?? ''
  const setFilter = (text: string): void =>
    go(text === '' ? path : `${path}?filter=${encodeURIComponent(text)}`, { replace: true })
  return [filter, setFilter]
}

export function FilterField({ hint, fields }: { hint: string; fields: readonly string[] }) {
  const t = useT()
  const [filter, setFilter] = useFilter()
  const [text, setText] = useState(filter)
  const [settled] = useDebouncedValue(text, 300)
  useEffect(() => setText(filter), [filter])
  useEffect(() => {
    if (settled !== filter && settled === text) setFilter(settled)
    // only what was typed goes into the address
    // eslint-disable-next-line
  }, [settled])
  return (
    <TextInput
      type="search"
      aria-label={t.common.filter}
      placeholder={hint}
      description={t.common.filterHelp}
      value={text}
      onChange={(event) => setText(event.currentTarget.value)}
      list="filter-fields"
      data-filter
      inputWrapperOrder={['label', 'input', 'description']}
      rightSection={<FieldNames fields={fields} />}
      rightSectionWidth={0}
    />
  )
}

const FieldNames = ({ fields }: { fields: readonly string[] }) => (
  <datalist id="filter-fields">
    {fields.map((field) => (
      <option key={field} value={field} />
    ))}
  </datalist>
)

export function QuickFilters({ filters }: { filters: readonly (readonly [label: string, filter: string])[] }) {
  const t = useT()
  const [filter, setFilter] = useFilter()
  return (
    <Group gap="xs" my="sm" role="group" aria-label={t.outbox.quick}>
      {filters.map(([label, text]) => (
        <Button
          key={label}
          size="compact-sm"
          variant={filter === text ? 'filled' : 'default'}
          aria-pressed={filter === text}
          onClick={() => setFilter(filter === text ? '' : text)}
        >
          {label}
        </Button>
      ))}
    </Group>
  )
}

export function List<T extends { readonly id: number }>({
  topic,
  path,
  columns,
  to,
  label,
  empty,
  none,
  above,
}: {
  topic: Topic
  path: string
  columns: readonly Column<T>[]
  to: (row: T) => string
  label: (row: T) => string
  empty: string
  none: string
  above?: (total: number | undefined) => ReactNode
}) {
  const t = useT()
  const [filter] = useFilter()
  const [, go] = useLocation()
  const query = usePages<T>(topic, path, filter === '' ? {} : { filter })
  if (query.error && !query.data) return <ProblemNote error={query.error} onRetry={() => void query.refetch()} />
  const pages = query.data?.pages ?? []
  const rows = pages.flatMap((page) => page.items)
  if (query.data && rows.length === 0) return <Empty>{filter === '' ? none : empty}</Empty>
  const open = (row: T): void => go(to(row))
  return (
    <>
      {query.error && <ProblemNote error={query.error} />}
      {above?.(pages[0]?.total)}
      <Scroll minWidth={640}>
        <Table highlightOnHover verticalSpacing={6} aria-busy={query.isFetching}>
          <Table.Thead>
            <Table.Tr>
              {columns.map(({ head }) => (
                <Table.Th key={head} scope="col">
                  {head}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((row) => (
              <Table.Tr
                key={row.id}
                data-row
                className="row-open"
                tabIndex={0}
                aria-label={label(row)}
                onClick={(event) => {
                  if (!(event.target as HTMLElement).closest('a, button')) open(row)
                }}
                onKeyDown={(event) => {
                  if (event.key === 'Enter' && event.target === event.currentTarget) open(row)
                }}
              >
                {columns.map(({ head, cell, narrow, wide }) => (
                  <Table.Td
                    key={head}
                    className="cell"
                    {...(narrow && { style: { whiteSpace: 'nowrap', width: '1%' } })}
                    {...(wide && { style: { minWidth: 200, width: '30%' } })}
                  >
                    {cell(row)}
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Scroll>
      {query.hasNextPage && (
        <Center mt="md">
          <Button variant="default" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            {t.common.more}
          </Button>
        </Center>
      )}
      {!query.data && <Text c="dimmed">{t.common.loading}</Text>}
    </>
  )
}
