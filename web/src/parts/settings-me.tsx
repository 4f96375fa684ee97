// What everybody may change of himself: appearance, password, second factor, sessions.

import {
  Alert,
  Button,
  Group,
  PasswordInput,
  SegmentedControl,
  Stack,
  Table,
  Text,
  TextInput,
  Title,
  useMantineColorScheme,
} from '@mantine/core'
import { useState } from 'react'
import { renderSVG } from 'uqr'
import type { SessionJson } from '../../../src/contract/people.ts'
import { ask, useChange, useGet } from '../api.ts'
import { LANGUAGES, useLanguage, useT, type Language } from '../i18n/index.ts'
import { usePerson } from '../person.ts'
import { Age, Copyable, Loaded, ProblemNote, Scroll } from './basics.tsx'

export function Myself() {
  const t = useT()
  const language = useLanguage()
  const { setLanguage, setTheme } = usePerson()
  const { colorScheme } = useMantineColorScheme()
  return (
    <Stack maw={720} gap="lg">
      <section>
        <Title order={2} size="h5" mb="xs">
          {t.settings.appearance}
        </Title>
        <Group>
          <SegmentedControl
            aria-label={t.settings.language}
            value={language}
            onChange={(code) => setLanguage(code as Language)}
            data={Object.entries(LANGUAGES).map(([value, { name }]) => ({ value, label: name }))}
          />
          <SegmentedControl
            aria-label={t.settings.theme}
            value={colorScheme}
            onChange={setTheme}
            data={(['light', 'dark', 'auto'] as const).map((value) => ({ value, label: t.settings[value] }))}
          />
        </Group>
      </section>
      <Password />
      <SecondFactor />
      <Sessions />
    </Stack>
  )
}

function Password() {
  const t = useT()
  const [current, setCurrent] = useState('')
  const [password, setPassword] = useState('')
  const save = useChange(() => ask('POST', 'me/password', { current, password }), ['still'])
  return (
    <section>
      <Title order={2} size="h5" mb="xs">
        {t.settings.changePassword}
      </Title>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate(undefined)
        }}
      >
        <Stack maw={360}>
          <PasswordInput
            label={t.settings.current}
            value={current}
            onChange={(e) => setCurrent(e.currentTarget.value)}
            autoComplete="current-password"
            required
          />
          <PasswordInput
            label={t.settings.newPassword}
            description={t.login.passwordHint}
            value={password}
            onChange={(e) => setPassword(e.currentTarget.value)}
            autoComplete="new-password"
            minLength={12}
            required
          />
          {save.error && <ProblemNote error={save.error} />}
          {save.isSuccess && <Alert color="green">{t.settings.passwordChanged}</Alert>}
          <Button type="submit" variant="default" loading={save.isPending} style={{ alignSelf: 'flex-start' }}>
            {t.common.save}
          </Button>
        </Stack>
      </form>
    </section>
  )
}

function SecondFactor() {
  const t = useT()
  const { me } = usePerson()
  const [password, setPassword] = useState('')
  const [code, setCode] = useState('')
  const begin = useChange(() => ask<{ secret: string; uri: string }>('POST', 'me/totp', { password }), [])
  const confirm = useChange(() => ask('POST', 'me/totp/confirm', { code }), ['still'])
  const end = useChange(() => ask('DELETE', 'me/totp', { password }), ['still'])
  const picture = begin.data && `data:image/svg+xml;utf8,${encodeURIComponent(renderSVG(begin.data.uri))}`
  return (
    <section>
      <Title order={2} size="h5" mb="xs">
        {t.settings.totp}
      </Title>
      <Stack maw={420}>
        <Text size="sm">{me.totp ? t.settings.totpOn : t.settings.totpOff}</Text>
        <form
          onSubmit={(event) => {
            event.preventDefault()
            if (me.totp) end.mutate(undefined)
            else begin.mutate(undefined)
          }}
        >
          <Group align="flex-end">
            <PasswordInput
              label={t.settings.current}
              value={password}
              onChange={(e) => setPassword(e.currentTarget.value)}
              autoComplete="current-password"
              required
              w={260}
            />
            <Button type="submit" variant="default" loading={begin.isPending || end.isPending}>
              {me.totp ? t.settings.totpEnd : t.settings.totpBegin}
            </Button>
          </Group>
        </form>
        {[begin.error, end.error, confirm.error].map(
          (error) => error && <ProblemNote key={error.message} error={error} />,
        )}
        {begin.data && !me.totp && (
          <form
            onSubmit={(event) => {
              event.preventDefault()
              confirm.mutate(undefined)
            }}
          >
            <Stack>
              <Text size="sm">{t.settings.totpScan}</Text>
              <img
                src={picture}
                alt={begin.data.uri}
                width={200}
                height={200}
                style={{ background: '#fff', padding: 8 }}
              />
              <Copyable text={begin.data.secret} label={t.settings.totp} />
              <TextInput
                label={t.login.code}
                value={code}
                onChange={(e) => setCode(e.currentTarget.value.replace(/\D/g, ''))}
                inputMode="numeric"
                maxLength={6}
                required
              />
              <Button type="submit" loading={confirm.isPending} style={{ alignSelf: 'flex-start' }}>
                {t.common.next}
              </Button>
            </Stack>
          </form>
        )}
      </Stack>
    </section>
  )
}

function Sessions() {
  const t = useT()
  const sessions = useGet<SessionJson[]>('still', 'sessions')
  const end = useChange((id: number) => ask('DELETE', `sessions/${id}`), ['still'])
  return (
    <section>
      <Title order={2} size="h5" mb="xs">
        {t.settings.sessions}
      </Title>
      {end.error && <ProblemNote error={end.error} />}
      <Loaded query={sessions}>
        {(data) => (
          <Scroll minWidth={480}>
            <Table aria-label={t.settings.sessions}>
              <Table.Tbody>
                {data.map((session) => (
                  <Table.Tr key={session.id}>
                    <Table.Td>{session.operator}</Table.Td>
                    <Table.Td className="anywhere">
                      <Text size="xs" lineClamp={2}>
                        {session.ip} · {session.user_agent}
                      </Text>
                    </Table.Td>
                    <Table.Td>
                      {t.settings.seen} <Age at={session.seen_at} />
                    </Table.Td>
                    <Table.Td>
                      {session.own ? (
                        t.settings.thisSession
                      ) : (
                        <Button size="compact-xs" variant="default" onClick={() => end.mutate(session.id)}>
                          {t.settings.end}
                        </Button>
                      )}
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Scroll>
        )}
      </Loaded>
    </section>
  )
}
