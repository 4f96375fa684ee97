// A new account in four steps, after the form of the manual, its traps defused: address, way of signing in, servers, check.

import { Alert, Button, Checkbox, Group, PasswordInput, Radio, Select, Stack, Stepper, TextInput } from '@mantine/core'
import { useEffect, useMemo, useState } from 'react'
import type { ImportAnswer, Preset } from '../../../src/contract/accounts.ts'
import type { ClientJson } from '../../../src/contract/clients.ts'
import { ask, useChange, useGet } from '../api.ts'
import { useT } from '../i18n/index.ts'
import { HostFields } from '../parts/account-settings.tsx'
import { Loaded, PageTitle, ProblemNote } from '../parts/basics.tsx'
import { accountOf, NEW, type Form, type HostInput } from '../parts/wizard-form.ts'
import { Check, NewApp } from '../parts/wizard-steps.tsx'

export default function WizardPage() {
  const t = useT()
  const presets = useGet<Preset[]>('still', 'presets')
  const clients = useGet<ClientJson[]>('clients', 'clients')
  return (
    <>
      <PageTitle title={t.wizard.title} />
      <Loaded query={presets}>
        {(known) => <Loaded query={clients}>{(apps) => <Wizard presets={known} apps={apps} />}</Loaded>}
      </Loaded>
    </>
  )
}

function Wizard({ presets, apps }: { presets: readonly Preset[]; apps: readonly ClientJson[] }) {
  const t = useT()
  const [step, setStep] = useState(0)
  const [form, setForm] = useState<Form>(() => ({
    email: '',
    label: '',
    preset: 'microsoft365',
    flow: 'authorization_code',
    app: NEW,
    tenant: '',
    endpoint: '',
    clientId: '',
    clientSecret: '',
    secretExpires: '',
    scope: '',
    username: '',
    password: '',
    refreshToken: '',
    receive: true,
    send: true,
    pop3: { host: '', port: 995, security: 'tls', username: '' },
    smtp: { host: '', port: 587, security: 'starttls', username: '' },
    firstSync: 'all',
  }))
  const [chosen, setChosen] = useState(false)
  const change = (fields: Partial<Form>): void => setForm((before) => ({ ...before, ...fields }))
  const preset = presets.find(({ name }) => name === form.preset) ?? presets[0]
  const isOAuth = form.flow !== 'basic'
  const isMicrosoft = form.preset === 'microsoft365'

  // by the address, until somebody chooses
  useEffect(() => {
    if (chosen) return
    const domain = form.email.split('@')[1]?.toLowerCase() ?? ''
    const found = presets.find(({ domains }) => domains.includes(domain))
    if (found) setForm((before) => ({ ...before, preset: found.name }))
  }, [form.email, chosen, presets])
  useEffect(() => {
    if (!preset) return
    setForm((before) => ({
      ...before,
      flow: preset.flows.includes(before.flow) ? before.flow : (preset.flows[0] ?? 'basic'),
      pop3: { ...before.pop3, ...(preset.pop3 as Omit<HostInput, 'username'>) },
      smtp: { ...before.smtp, ...(preset.smtp as Omit<HostInput, 'username'>) },
      endpoint: preset.token_endpoint ?? before.endpoint,
    }))
  }, [preset])
  useEffect(() => {
    if (preset) setForm((before) => ({ ...before, scope: preset.scopes[before.flow] ?? before.scope }))
  }, [preset, form.flow])

  const file = useMemo(() => accountOf(form), [form])
  const save = useChange(
    (dryRun: boolean) => ask<ImportAnswer>('POST', 'accounts', { accounts: [file], dry_run: dryRun }),
    ['accounts', 'clients'],
  )
  const saved = save.data && !save.data.dry_run ? save.data.accounts[0] : undefined
  const next = (): void => setStep((n) => n + 1)
  const usable = apps.filter(({ provider }) =>
    form.preset === 'google' ? provider === 'google' : form.preset === 'generic' ? true : provider === 'microsoft',
  )

  return (
    <Stack maw={860}>
      <Stepper active={step} onStepClick={(at) => !saved && at < step && setStep(at)} size="sm">
        {t.wizard.steps.map((label) => (
          <Stepper.Step key={label} label={label} />
        ))}
      </Stepper>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (step < 2) next()
          else save.mutate(false, { onSuccess: next })
        }}
      >
        {step === 0 && (
          <Stack>
            <TextInput
              type="email"
              label={t.wizard.email}
              value={form.email}
              required
              autoFocus
              onChange={(e) => change({ email: e.currentTarget.value.trim() })}
            />
            <TextInput
              label={t.account.label}
              value={form.label}
              onChange={(e) => change({ label: e.currentTarget.value })}
            />
            <Radio.Group
              label={t.wizard.preset}
              description={t.wizard.presetHint}
              value={form.preset}
              onChange={(name) => {
                setChosen(true)
                change({ preset: name })
              }}
            >
              <Stack gap="xs" mt="xs">
                {presets.map(({ name, title }) => (
                  <Radio key={name} value={name} label={title === '' ? t.wizard.genericPreset : title} />
                ))}
              </Stack>
            </Radio.Group>
          </Stack>
        )}
        {step === 1 && (
          <Stack>
            <Radio.Group label={t.wizard.steps[1]} value={form.flow} onChange={(flow) => change({ flow })}>
              <Stack gap="sm" mt="xs">
                {preset?.flows
                  .filter((flow) => flow !== 'service_account')
                  .map((flow, at) => (
                    <Radio
                      key={flow}
                      value={flow}
                      label={`${t.wizard.flows[flow]?.[0] ?? flow}${at === 0 ? ` (${t.wizard.recommended})` : ''}`}
                      description={t.wizard.flows[flow]?.[1]}
                    />
                  ))}
              </Stack>
            </Radio.Group>
            {isMicrosoft && (
              <Alert color="blue" variant="light">
                {t.wizard.securityDefaults}
              </Alert>
            )}
            {isOAuth && (
              <>
                <Select
                  label={t.wizard.app}
                  value={form.app}
                  allowDeselect={false}
                  data={[
                    ...usable.map((app) => ({
                      value: String(app.id),
                      label: app.label === '' ? app.client_id : `${app.label} (${app.client_id})`,
                    })),
                    { value: NEW, label: t.wizard.newApp },
                  ]}
                  onChange={(app) => change({ app: app ?? NEW })}
                />
                {form.app === NEW && <NewApp form={form} isMicrosoft={isMicrosoft} onChange={change} />}
                <TextInput
                  label={t.wizard.scope}
                  value={form.scope}
                  onChange={(e) => change({ scope: e.currentTarget.value })}
                  required
                />
              </>
            )}
            {(form.flow === 'basic' || form.flow === 'password') && (
              <PasswordInput
                label={t.login.password}
                value={form.password}
                onChange={(e) => change({ password: e.currentTarget.value })}
                autoComplete="off"
                required
              />
            )}
            {form.flow === 'refresh_token' && (
              <PasswordInput
                label={t.wizard.refreshToken}
                value={form.refreshToken}
                onChange={(e) => change({ refreshToken: e.currentTarget.value })}
                autoComplete="off"
                required
              />
            )}
          </Stack>
        )}
        {step === 2 && (
          <Stack>
            <Checkbox
              label={t.wizard.receive}
              checked={form.receive}
              onChange={(e) => change({ receive: e.currentTarget.checked })}
            />
            {form.receive && (
              <>
                <HostFields
                  title={t.account.pop3}
                  host={{ ...form.pop3, username: form.pop3.username || form.email }}
                  onChange={(pop3) => change({ pop3 })}
                />
                <Select
                  label={t.wizard.firstSync}
                  value={form.firstSync}
                  allowDeselect={false}
                  data={(['all', 'from_now', 'last_days'] as const).map((value) => ({ value, label: t.wizard[value] }))}
                  onChange={(v) => change({ firstSync: v ?? 'all' })}
                />
              </>
            )}
            <Checkbox
              label={t.wizard.send}
              checked={form.send}
              onChange={(e) => change({ send: e.currentTarget.checked })}
            />
            {form.send && (
              <HostFields
                title={t.account.smtp}
                host={{ ...form.smtp, username: form.smtp.username || form.email }}
                onChange={(smtp) => change({ smtp })}
              />
            )}
          </Stack>
        )}
        {step < 3 && (
          <Group mt="lg">
            {step > 0 && (
              <Button variant="default" onClick={() => setStep(step - 1)}>
                {t.common.back}
              </Button>
            )}
            <Button type="submit" loading={save.isPending}>
              {step === 2 ? t.wizard.create : t.common.next}
            </Button>
          </Group>
        )}
        {save.error && step === 2 && <ProblemNote error={save.error} />}
      </form>
      {step === 3 && saved && <Check saved={saved} form={form} />}
    </Stack>
  )
}
