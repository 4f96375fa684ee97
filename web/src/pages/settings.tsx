// Settings: myself, users, tokens, app registrations, retention, keys, audit log, system. Each part is a path of its own.

import { Tabs } from '@mantine/core'
import { useLocation } from 'wouter'
import { useT } from '../i18n/index.ts'
import { PageTitle } from '../parts/basics.tsx'
import { Apps } from '../parts/settings-apps.tsx'
import { AuditLog } from '../parts/settings-audit.tsx'
import { Keys } from '../parts/settings-keys.tsx'
import { Notices } from '../parts/settings-notify.tsx'
import { Myself } from '../parts/settings-me.tsx'
import { People } from '../parts/settings-people.tsx'
import { Retention } from '../parts/settings-retention.tsx'
import { System } from '../parts/settings-system.tsx'
import { Tokens } from '../parts/settings-tokens.tsx'
import { useMay } from '../person.ts'

export default function SettingsPage({ part }: { part: string }) {
  const t = useT()
  const [, go] = useLocation()
  const isAdmin = useMay('admin')
  const parts = [
    ['me', t.settings.me, Myself],
    ...(isAdmin
      ? ([
          ['people', t.settings.people, People],
          ['tokens', t.settings.tokens, Tokens],
        ] as const)
      : []),
    ['notices', t.notify.title, Notices],
    ['apps', t.settings.apps, Apps],
    ...(isAdmin
      ? ([
          ['retention', t.retention.title, Retention],
          ['keys', t.settings.keys, Keys],
          ['audit', t.settings.audit, AuditLog],
        ] as const)
      : []),
    ['system', t.settings.system, System],
  ] as const
  const shown = parts.some(([name]) => name === part) ? part : 'me'
  return (
    <>
      <PageTitle title={t.settings.title} />
      <Tabs value={shown} onChange={(name) => go(`/settings/${name ?? 'me'}`)} keepMounted={false}>
        <Tabs.List aria-label={t.settings.title}>
          {parts.map(([name, label]) => (
            <Tabs.Tab key={name} value={name}>
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {parts.map(([name, , Part]) => (
          <Tabs.Panel key={name} value={name} pt="md">
            <Part />
          </Tabs.Panel>
        ))}
      </Tabs>
    </>
  )
}
