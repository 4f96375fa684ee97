// Logging in, the first set-up, and invitations.

import { Anchor, Button, Center, Group, Paper, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core'
import { useEffect, useState, type ReactNode } from 'react'
import type { InvitationState } from '../../../src/contract/people.ts'
import { ask, Refused, useGet } from '../api.ts'
import { LANGUAGES, useLanguage, useT, type Language } from '../i18n/index.ts'
import { Loaded, ProblemNote } from '../parts/basics.tsx'

function Frame({
  title,
  onLanguage,
  children,
}: {
  title: string
  onLanguage: (language: Language) => void
  children: ReactNode
}) {
  const language = useLanguage()
  useEffect(() => {
    document.title = `${title} · Poststelle`
  }, [title])
  return (
    <Center mih="100vh" p="md" component="main">
      <Paper withBorder p="xl" w="100%" maw={420}>
        <Group justify="space-between" mb="md">
          <Text fw={700}>Poststelle</Text>
          <Group gap="xs">
            {Object.entries(LANGUAGES)
              .filter(([code]) => code !== language)
              .map(([code, { name }]) => (
                <Anchor
                  key={code}
                  component="button"
                  type="button"
                  size="sm"
                  lang={code}
                  onClick={() => onLanguage(code as Language)}
                >
                  {name}
                </Anchor>
              ))}
          </Group>
        </Group>
        <Title order={1} size="h3" mb="md">
          {title}
        </Title>
        {children}
      </Paper>
    </Center>
  )
}

export function LoginPage({
  setUp,
  onLanguage,
  onDone,
}: {
  setUp: boolean
  onLanguage: (language: Language) => void
  onDone: () => void
}) {
  const t = useT()
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [code, setCode] = useState('')
  const [asksCode, setAsksCode] = useState(false)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  if (setUp)
    return (
      <Frame title={t.login.setUpTitle} onLanguage={onLanguage}>
        <Text>{t.login.noSetUp}</Text>
      </Frame>
    )
  const submit = async (): Promise<void> => {
    setBusy(true)
    setError(undefined)
    try {
      await ask('POST', 'session', { name, password, ...(code !== '' && { code }) })
      onDone()
    } catch (problem) {
      if (problem instanceof Refused && problem.problem.code === 'code_needed') setAsksCode(true)
      else setError(problem)
    }
    setBusy(false)
  }
  return (
    <Frame title={t.login.title} onLanguage={onLanguage}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void submit()
        }}
      >
        <Stack>
          <TextInput
            label={t.login.name}
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
            autoComplete="username"
            required
            autoFocus
          />
          <PasswordInput
            label={t.login.password}
            value={password}
            onChange={(e) => setPassword(e.currentTarget.value)}
            autoComplete="current-password"
            required
          />
          {asksCode && (
            <TextInput
              label={t.login.code}
              value={code}
              onChange={(e) => setCode(e.currentTarget.value.replace(/\D/g, ''))}
              inputMode="numeric"
              autoComplete="one-time-code"
              maxLength={6}
              required
              autoFocus
            />
          )}
          {error !== undefined && <ProblemNote error={error} />}
          <Button type="submit" loading={busy}>
            {t.login.submit}
          </Button>
        </Stack>
      </form>
    </Frame>
  )
}

export function InvitationPage({
  onLanguage,
  onDone,
}: {
  onLanguage: (language: Language) => void
  onDone: () => void
}) {
  const t = useT()
  const [token] = useState(() => window.location.hash.slice(1))
  const invitation = useGet<InvitationState>('still', token === '' ? null : `invitations/${encodeURIComponent(token)}`)
  const over = token === '' || (invitation.error instanceof Refused && invitation.error.problem.status === 410)
  if (over)
    return (
      <Frame title={t.login.setUpTitle} onLanguage={onLanguage}>
        <Text>{t.login.linkOver}</Text>
      </Frame>
    )
  return (
    <Frame
      title={invitation.data?.name ? t.login.inviteTitle(invitation.data.name) : t.login.setUpTitle}
      onLanguage={onLanguage}
    >
      <Loaded query={invitation}>{(state) => <Chooser state={state} token={token} onDone={onDone} />}</Loaded>
    </Frame>
  )
}

function Chooser({ state, token, onDone }: { state: InvitationState; token: string; onDone: () => void }) {
  const t = useT()
  const language = useLanguage()
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [again, setAgain] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const differs = again !== '' && again !== password
  const submit = async (): Promise<void> => {
    setBusy(true)
    setError(undefined)
    try {
      await ask('POST', `invitations/${encodeURIComponent(token)}`, {
        password,
        language,
        ...(state.first && { name }),
      })
      onDone()
    } catch (problem) {
      setError(problem)
      setBusy(false)
    }
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        if (password === again) void submit()
      }}
    >
      <Stack>
        <Text size="sm">{state.first ? t.login.setUpText : t.login.inviteText}</Text>
        {state.first && (
          <TextInput
            label={t.login.name}
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
            autoComplete="username"
            required
            autoFocus
          />
        )}
        <PasswordInput
          label={t.login.password}
          description={t.login.passwordHint}
          value={password}
          onChange={(e) => setPassword(e.currentTarget.value)}
          autoComplete="new-password"
          minLength={12}
          required
        />
        <PasswordInput
          label={t.login.repeat}
          value={again}
          onChange={(e) => setAgain(e.currentTarget.value)}
          autoComplete="new-password"
          required
          error={differs ? t.login.differs : undefined}
        />
        {error !== undefined && <ProblemNote error={error} />}
        <Button type="submit" loading={busy} disabled={differs}>
          {t.login.create}
        </Button>
      </Stack>
    </form>
  )
}
