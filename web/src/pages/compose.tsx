// A message by hand: the same way that an application's mail takes.

import { Button, FileInput, Group, Select, Stack, Textarea, TextInput } from '@mantine/core'
import { useState } from 'react'
import { useLocation } from 'wouter'
import type { AccountCardJson } from '../../../src/contract/accounts.ts'
import { ask, newKey, useChange, useGet, type Page } from '../api.ts'
import { useT } from '../i18n/index.ts'
import { Loaded, PageTitle, ProblemNote } from '../parts/basics.tsx'

export default function ComposePage() {
  const t = useT()
  const accounts = useGet<Page<AccountCardJson>>('accounts', 'accounts?limit=500')
  return (
    <>
      <PageTitle title={t.outbox.compose} />
      <Loaded query={accounts}>
        {({ items }) => <Compose accounts={items.filter(({ send }) => send !== null)} />}
      </Loaded>
    </>
  )
}

function Compose({ accounts }: { accounts: readonly AccountCardJson[] }) {
  const t = useT()
  const [, go] = useLocation()
  const [key] = useState(newKey)
  const [account, setAccount] = useState(accounts[0]?.email ?? '')
  const [to, setTo] = useState('')
  const [subject, setSubject] = useState('')
  const [text, setText] = useState('')
  const [files, setFiles] = useState<File[]>([])
  const send = useChange(async () => {
    const attachments = await Promise.all(
      files.map(async (file) => ({
        filename: file.name,
        content_type: file.type || 'application/octet-stream',
        content: await base64(file),
      })),
    )
    const list = to
      .split(/[,;\n]/)
      .map((one) => one.trim())
      .filter(Boolean)
    return await ask<{ id: number }>(
      'POST',
      'messages',
      { account, to: list, subject, text, attachments },
      { 'idempotency-key': key },
    )
  }, ['outbox'])
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        void send.mutateAsync(undefined).then(({ id }) => go(`/outbox/${id}`))
      }}
    >
      <Stack maw={760}>
        <Select
          label={t.outbox.account}
          value={account}
          data={accounts.map(({ email }) => email)}
          allowDeselect={false}
          searchable
          onChange={(value) => setAccount(value ?? '')}
        />
        <TextInput
          label={t.outbox.to}
          description={t.outbox.recipientsHint}
          value={to}
          onChange={(e) => setTo(e.currentTarget.value)}
          required
        />
        <TextInput label={t.inbox.subject} value={subject} onChange={(e) => setSubject(e.currentTarget.value)} />
        <Textarea
          label={t.outbox.body}
          value={text}
          onChange={(e) => setText(e.currentTarget.value)}
          autosize
          minRows={8}
          required
        />
        <FileInput label={t.inbox.attachments} multiple value={files} onChange={setFiles} clearable />
        {send.error && <ProblemNote error={send.error} />}
        <Group>
          <Button type="submit" loading={send.isPending}>
            {t.outbox.send}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

/** In pieces: an argument list has its limits. */
async function base64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer())
  let text = ''
  for (let at = 0; at < bytes.length; at += 8_192) text += String.fromCharCode(...bytes.subarray(at, at + 8_192))
  return btoa(text)
}
