// The frame of all pages: who is logged in, language and colours, navigation, the stream of changes, shortcuts.

import { createTheme, MantineProvider, type CSSVariablesResolver, useMantineColorScheme } from '@mantine/core'
import { QueryClient, QueryClientProvider, useQueryClient } from '@tanstack/react-query'
import { lazy, Suspense, useEffect, useMemo, useState } from 'react'
import { Redirect, Route, Router, Switch, useLocation } from 'wouter'
import type { SessionState } from '../../src/contract/people.ts'
import { ask, Refused, useGet } from './api.ts'
import { isLanguage, LanguageContext, useT, type Language } from './i18n/index.ts'
import { PersonContext } from './person.ts'
import { Shell } from './shell.tsx'
import { Empty, Loaded, ProblemNote } from './parts/basics.tsx'
import { InvitationPage, LoginPage } from './pages/login.tsx'
import { OverviewPage } from './pages/overview.tsx'

const AccountsPage = lazy(() => import('./pages/accounts.tsx'))
const AccountPage = lazy(() => import('./pages/account.tsx'))
const WizardPage = lazy(() => import('./pages/wizard.tsx'))
const ImportPage = lazy(() => import('./pages/import.tsx'))
const InboxPage = lazy(() => import('./pages/inbox.tsx'))
const InboxMessagePage = lazy(() => import('./pages/inbox-message.tsx'))
const OutboxPage = lazy(() => import('./pages/outbox.tsx'))
const OutboxMessagePage = lazy(() => import('./pages/outbox-message.tsx'))
const ComposePage = lazy(() => import('./pages/compose.tsx'))
const AttentionPage = lazy(() => import('./pages/attention.tsx'))
const IncidentsPage = lazy(() => import('./pages/incidents.tsx'))
const QueuesPage = lazy(() => import('./pages/queues.tsx'))
const SettingsPage = lazy(() => import('./pages/settings.tsx'))
const ReferencePage = lazy(() => import('./pages/reference.tsx'))

const theme = createTheme({
  primaryColor: 'post',
  primaryShade: 8,
  colors: {
    post: [
      '#e6f5f4',
      '#cfe8e6',
      '#a3d3d0',
      '#7cc4bf',
      '#5cb5af',
      '#2f9d97',
      '#1d8f89',
      '#107d78',
      '#0f6d69',
      '#0a5450',
    ],
  },
  autoContrast: true,
  defaultRadius: 'sm',
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
  headings: { fontWeight: '650' },
  cursorType: 'pointer',
})

/** Quiet, and still to be read by everybody (WCAG 2.2, 1.4.3). */
const quiet: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#565f69',
    '--mantine-color-placeholder': '#646d77',
    '--mantine-color-error': '#b3261e',
  },
  dark: {
    '--mantine-color-dimmed': '#b3bbc4',
    '--mantine-color-placeholder': '#a3acb5',
    '--mantine-color-error': '#ff8d84',
  },
})

const nonce = (): string => document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? ''
/** The path under which the pages lie, without a slash at the end. */
export const BASE = new URL(document.baseURI).pathname.replace(/\/$/, '')

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      // what is refused stays so; what did not arrive may the next time
      retry: (count, error) => count < 2 && (!(error instanceof Refused) || error.problem.status === 0),
      refetchOnWindowFocus: true,
    },
  },
})

const STORED = 'poststelle-language'

function firstLanguage(): Language {
  const stored = localStorage.getItem(STORED)
  if (isLanguage(stored)) return stored
  return navigator.language.toLowerCase().startsWith('de') ? 'de' : 'en'
}

export function App() {
  const [language, setLanguage] = useState(firstLanguage)
  useEffect(() => {
    document.documentElement.lang = language
    localStorage.setItem(STORED, language)
  }, [language])
  document.documentElement.lang = language
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={nonce} cssVariablesResolver={quiet}>
      <QueryClientProvider client={client}>
        <LanguageContext.Provider value={language}>
          <Router base={BASE}>
            <Gate onLanguage={setLanguage} />
          </Router>
        </LanguageContext.Provider>
      </QueryClientProvider>
    </MantineProvider>
  )
}

function Gate({ onLanguage }: { onLanguage: (language: Language) => void }) {
  const session = useGet<SessionState>('still', 'session')
  const [path] = useLocation()
  const queries = useQueryClient()
  const { setColorScheme } = useMantineColorScheme()
  const me = session.data?.me ?? null
  useEffect(() => {
    if (me?.language) onLanguage(me.language)
  }, [me?.language, onLanguage])
  const person = useMemo(
    () =>
      me && {
        me,
        version: session.data?.version ?? '',
        environment: session.data?.environment ?? '',
        setLanguage: (language: Language) => {
          onLanguage(language)
          void ask('PATCH', 'me', { language }).then(() => queries.invalidateQueries())
        },
        setTheme: setColorScheme,
        logOut: () =>
          void ask('DELETE', 'session').then(() => {
            queries.clear()
            window.location.assign(`${BASE}/`)
          }),
      },
    [me, session.data, onLanguage, queries, setColorScheme],
  )
  if (path === '/setup' || path === '/invitation')
    return <InvitationPage onLanguage={onLanguage} onDone={() => window.location.assign(`${BASE}/`)} />
  return (
    <Loaded query={session}>
      {(state) =>
        person ? (
          <PersonContext.Provider value={person}>
            <Shell>
              <Pages />
            </Shell>
          </PersonContext.Provider>
        ) : (
          <LoginPage setUp={state.set_up} onLanguage={onLanguage} onDone={() => void queries.invalidateQueries()} />
        )
      }
    </Loaded>
  )
}

function Pages() {
  const t = useT()
  return (
    <Suspense fallback={<Empty>{t.common.loading}</Empty>}>
      <Switch>
        <Route path="/">
          <OverviewPage />
        </Route>
        <Route path="/login">
          <Redirect to="/" replace />
        </Route>
        <Route path="/accounts">
          <AccountsPage />
        </Route>
        <Route path="/accounts/new">
          <WizardPage />
        </Route>
        <Route path="/accounts/import">
          <ImportPage />
        </Route>
        <Route path="/accounts/:id">{({ id }) => <AccountPage key={id} id={id} />}</Route>
        <Route path="/inbox">
          <InboxPage />
        </Route>
        <Route path="/inbox/:id">{({ id }) => <InboxMessagePage key={id} id={id} />}</Route>
        <Route path="/outbox">
          <OutboxPage />
        </Route>
        <Route path="/outbox/new">
          <ComposePage />
        </Route>
        <Route path="/outbox/:id">{({ id }) => <OutboxMessagePage key={id} id={id} />}</Route>
        <Route path="/attention">
          <AttentionPage />
        </Route>
        <Route path="/incidents">
          <IncidentsPage />
        </Route>
        <Route path="/incidents/:id">{({ id }) => <IncidentsPage id={id} />}</Route>
        <Route path="/queues-overview">
          <QueuesPage />
        </Route>
        <Route path="/settings">
          <SettingsPage part="me" />
        </Route>
        <Route path="/settings/:part">{({ part }) => <SettingsPage part={part} />}</Route>
        <Route path="/reference">
          <ReferencePage />
        </Route>
        <Route>
          <ProblemNote error={new Refused({ type: '', code: 'not_found', status: 404, title: '404' })} />
        </Route>
      </Switch>
    </Suspense>
  )
}
