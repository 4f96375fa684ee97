// Header, navigation, palette and shortcuts around every page.

import {
  Alert,
  ActionIcon,
  AppShell,
  Badge,
  Burger,
  Button,
  Group,
  Kbd,
  Menu,
  Modal,
  NavLink,
  Stack,
  Switch,
  Table,
  Text,
  TextInput,
} from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useEffect, useRef, useState, type ReactNode } from 'react'
import { Link, useLocation } from 'wouter'
import type { AccountCardJson } from '../../src/contract/accounts.ts'
import type { OverviewJson } from '../../src/contract/overview.ts'
import { ask, useGet, type Page } from './api.ts'
import { LANGUAGES, useFormat, useLanguage, useT, type Language } from './i18n/index.ts'
import { useLive } from './live.ts'
import { useMay, usePerson } from './person.ts'

const SHORTCUTS_OFF = 'poststelle-shortcuts-off'

export function Shell({ children }: { children: ReactNode }) {
  const t = useT()
  const format = useFormat()
  const language = useLanguage()
  const { me, version, environment, setLanguage, setTheme, logOut } = usePerson()
  const [path, go] = useLocation()
  const [menu, { toggle, close }] = useDisclosure(false)
  const [palette, setPalette] = useState(false)
  const [help, setHelp] = useState(false)
  const live = useLive(true)
  const isAdmin = useMay('admin')
  useShortcuts({ language, go, onPalette: () => setPalette(true), onHelp: () => setHelp(true) })
  useEffect(close, [path, close])

  const pages = [
    ['/', t.nav.overview],
    ['/accounts', t.nav.accounts],
    ['/inbox', t.nav.inbox],
    ['/outbox', t.nav.outbox],
    ['/attention', t.nav.attention],
    ['/incidents', t.nav.incidents],
    ['/queues-overview', t.nav.queues],
    ['/settings', t.nav.settings],
    ...(isAdmin ? [['/reference', t.nav.reference] as const] : []),
  ] as const
  const isHere = (to: string): boolean => (to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`))

  return (
    <AppShell
      header={{ height: 52 }}
      navbar={{ width: 210, breakpoint: 'sm', collapsed: { mobile: !menu } }}
      padding="md"
      className={live.stale ? 'stale' : ''}
    >
      <a href="#content" className="skip">
        {t.nav.skip}
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap" gap="xs">
          <Group gap="sm" wrap="nowrap">
            <Burger
              opened={menu}
              onClick={toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label={t.nav.menu}
              aria-expanded={menu}
            />
            <Link href="/" className="quiet-link">
              <Text fw={700} component="span">
                Poststelle
              </Text>
            </Link>
            {environment !== '' && (
              <Badge color={/^prod/i.test(environment) ? 'red' : 'blue'} variant="filled" tt="none">
                {environment}
              </Badge>
            )}
          </Group>
          <Group gap="xs" wrap="nowrap">
            <Text size="xs" c="dimmed" visibleFrom="xs" component="span" aria-live="off">
              {live.stale ? (
                <Text component="span" c="red" fw={600} size="xs">
                  {t.common.stale}
                </Text>
              ) : (
                t.common.live
              )}
              {live.at && ` · ${t.common.updated} ${format.time(live.at)}`}
            </Text>
            <Button
              size="xs"
              variant="default"
              onClick={() => setPalette(true)}
              rightSection={<Kbd size="xs">{language === 'de' ? 'Strg K' : 'Ctrl K'}</Kbd>}
              visibleFrom="sm"
            >
              {t.common.search}
            </Button>
            <ActionIcon
              variant="default"
              size={30}
              hiddenFrom="sm"
              aria-label={t.common.search}
              onClick={() => setPalette(true)}
            >
              <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
                <path
                  d="M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9Zm3.3 7.8 3.2 3.2"
                  fill="none"
                  stroke="currentColor"
                  strokeWidth="1.8"
                  strokeLinecap="round"
                />
              </svg>
            </ActionIcon>
            <Menu position="bottom-end" withinPortal>
              <Menu.Target>
                <Button size="xs" variant="subtle" maw={180}>
                  {me.name}
                </Button>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Label>{t.settings.language}</Menu.Label>
                {Object.entries(LANGUAGES).map(([code, { name }]) => (
                  <Menu.Item
                    key={code}
                    lang={code}
                    onClick={() => setLanguage(code as Language)}
                    fw={code === language ? 700 : 400}
                  >
                    {name}
                  </Menu.Item>
                ))}
                <Menu.Label>{t.settings.theme}</Menu.Label>
                {(['light', 'dark', 'auto'] as const).map((theme) => (
                  <Menu.Item key={theme} onClick={() => setTheme(theme)}>
                    {t.settings[theme]}
                  </Menu.Item>
                ))}
                <Menu.Divider />
                <Menu.Item onClick={() => go('/settings')}>{t.nav.settings}</Menu.Item>
                <Menu.Item onClick={() => setHelp(true)}>{t.keys.title}</Menu.Item>
                <Menu.Item onClick={logOut}>{t.login.logout}</Menu.Item>
              </Menu.Dropdown>
            </Menu>
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label={t.nav.main}>
        <Stack gap={2} component="nav" aria-label={t.nav.main}>
          {pages.map(([to, label]) => (
            <NavLink
              key={to}
              component={Link}
              href={to}
              label={label}
              active={isHere(to)}
              {...(isHere(to) && { 'aria-current': 'page' as const })}
            />
          ))}
        </Stack>
        <Text size="xs" c="dimmed" mt="auto" p="xs">
          Poststelle {version}
        </Text>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1}>
        <Verdict />
        {children}
      </AppShell.Main>
      {palette && <Palette pages={pages} onClose={() => setPalette(false)} />}
      {help && <ShortcutHelp onClose={() => setHelp(false)} />}
    </AppShell>
  )
}

/** The verdict, where only the tab is seen; and on every page what must not be forgotten. */
function Verdict() {
  const t = useT()
  const { data } = useGet<OverviewJson>('overview', 'overview')
  useEffect(() => {
    if (data) document.title = data.title
  }, [data])
  if (!data) return null
  return (
    <>
      {data.alarm !== '' && (
        <Alert color="red" variant="light" mb="md" role="alert">
          {data.alarm}
        </Alert>
      )}
      {data.paused_queues.length > 0 && (
        <Alert color="orange" variant="light" mb="md" role="alert">
          {t.queues.pausedNow(data.paused_queues.map((name) => t.queues.names[name] ?? name).join(', '))}{' '}
          <Link href="/queues-overview">{t.common.open}</Link>
        </Alert>
      )}
    </>
  )
}

function ShortcutHelp({ onClose }: { onClose: () => void }) {
  const t = useT()
  const [off, setOff] = useState(() => localStorage.getItem(SHORTCUTS_OFF) === 'yes')
  return (
    <Modal opened onClose={onClose} title={t.keys.title} closeButtonProps={{ 'aria-label': t.common.close }}>
      <Table aria-label={t.keys.title}>
        <Table.Tbody>
          {t.keys.list.map(([keys, what]) => (
            <Table.Tr key={keys}>
              <Table.Td>
                <Kbd>{keys}</Kbd>
              </Table.Td>
              <Table.Td>{what}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Switch
        mt="md"
        label={t.keys.off}
        checked={off}
        onChange={(event) => {
          setOff(event.currentTarget.checked)
          localStorage.setItem(SHORTCUTS_OFF, event.currentTarget.checked ? 'yes' : 'no')
        }}
      />
    </Modal>
  )
}

const GO_TO: Readonly<Record<Language, Readonly<Record<string, string>>>> = {
  de: { ü: '/', k: '/accounts', e: '/inbox', a: '/outbox', w: '/queues-overview', v: '/incidents', m: '/settings' },
  en: { o: '/', a: '/accounts', i: '/inbox', x: '/outbox', q: '/queues-overview', n: '/incidents', s: '/settings' },
}
const SECOND_KEY_MS = 1_500

function useShortcuts(o: {
  language: Language
  go: (to: string) => void
  onPalette: () => void
  onHelp: () => void
}): void {
  const latest = useRef(o)
  latest.current = o
  useEffect(() => {
    let gAt = -Infinity
    const onKey = (event: KeyboardEvent): void => {
      const { language, go, onPalette, onHelp } = latest.current
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault()
        return onPalette()
      }
      const target = event.target as HTMLElement | null
      if (
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        target?.closest('input, textarea, select, [contenteditable], [role="dialog"]')
      )
        return
      if (localStorage.getItem(SHORTCUTS_OFF) === 'yes') return
      if (performance.now() - gAt < SECOND_KEY_MS) {
        const to = GO_TO[language][event.key.toLowerCase()]
        gAt = -Infinity
        if (to !== undefined) {
          event.preventDefault()
          go(to)
        }
        return
      }
      if (event.key === 'g') gAt = performance.now()
      else if (event.key === '?') onHelp()
      else if (event.key === '/') {
        event.preventDefault()
        const filter = document.querySelector<HTMLInputElement>('input[data-filter]')
        if (filter) filter.focus()
        else onPalette()
      } else if (event.key === 'j' || event.key === 'k') moveRow(event.key === 'j' ? 1 : -1)
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [])
}

/** Rows of lists can be focussed; Enter opens them, as a link does. */
function moveRow(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>('tr[data-row]')]
  const at = rows.findIndex((row) => row === document.activeElement)
  rows[Math.min(rows.length - 1, Math.max(0, at + by))]?.focus()
}

function Palette({ pages, onClose }: { pages: readonly (readonly [string, string])[]; onClose: () => void }) {
  const t = useT()
  const [, go] = useLocation()
  const [text, setText] = useState('')
  const [chosen, setChosen] = useState(0)
  const [accounts, setAccounts] = useState<readonly AccountCardJson[]>([])
  useEffect(() => {
    let over = false
    if (text.trim().length < 2) setAccounts([])
    else
      void ask<Page<AccountCardJson>>('GET', `accounts?limit=8&filter=${encodeURIComponent(text.replaceAll(':', ' '))}`)
        .then(({ items }) => !over && setAccounts(items))
        .catch(() => undefined)
    return () => {
      over = true
    }
  }, [text])
  const wanted = text.trim().toLowerCase()
  const entries: (readonly [to: string, label: string])[] = [
    ...pages.filter(([, label]) => label.toLowerCase().includes(wanted)),
    ...accounts.map((account) => [`/accounts/${account.id}`, account.email] as const),
    ...(wanted === ''
      ? []
      : [
          [`/inbox?filter=${encodeURIComponent(text)}`, t.palette.searchInbox(text)] as const,
          [`/outbox?filter=${encodeURIComponent(text)}`, t.palette.searchOutbox(text)] as const,
        ]),
  ]
  const open = (to: string | undefined): void => {
    if (to === undefined) return
    onClose()
    go(to)
  }
  return (
    <Modal
      opened
      onClose={onClose}
      title={t.palette.title}
      size="lg"
      yOffset="10vh"
      closeButtonProps={{ 'aria-label': t.common.close }}
    >
      <TextInput
        aria-label={t.palette.placeholder}
        placeholder={t.palette.placeholder}
        value={text}
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-entries"
        aria-activedescendant={`palette-${chosen}`}
        data-autofocus
        onChange={(event) => {
          setText(event.currentTarget.value)
          setChosen(0)
        }}
        onKeyDown={(event) => {
          if (event.key === 'ArrowDown') setChosen(Math.min(entries.length - 1, chosen + 1))
          else if (event.key === 'ArrowUp') setChosen(Math.max(0, chosen - 1))
          else if (event.key === 'Enter') open(entries[chosen]?.[0])
          else return
          event.preventDefault()
        }}
      />
      <Stack gap={0} mt="sm" id="palette-entries" role="listbox" aria-label={t.palette.title}>
        {entries.map(([to, label], at) => (
          <Button
            key={to}
            id={`palette-${at}`}
            role="option"
            aria-selected={at === chosen}
            variant={at === chosen ? 'light' : 'subtle'}
            justify="flex-start"
            onClick={() => open(to)}
          >
            {label}
          </Button>
        ))}
      </Stack>
      {entries.length === 0 && <Text c="dimmed">{t.palette.nothing}</Text>}
    </Modal>
  )
}
