// Many accounts at once, out of the JSON of the account file: checked first, then saved, all or none.

import { Button, FileButton, Group, Stack, Table, Text, Textarea } from '@mantine/core'
import { useState } from 'react'
import type { ImportAnswer } from '../../../src/contract/accounts.ts'
import { ask, Refused, useChange } from '../api.ts'
import { useT } from '../i18n/index.ts'
import { PageTitle, ProblemNote, TextLink, Chip } from '../parts/basics.tsx'

export default function ImportPage() {
  const t = useT()
  const [text, setText] = useState('')
  const run = useChange(
    async (dryRun: boolean) => {
      let accounts: unknown
      try {
        accounts = [JSON.parse(text)].flat()
      } catch (error) {
        throw new Refused({
          type: '',
          code: 'invalid_request',
          status: 400,
          title: 'JSON',
          detail: error instanceof Error ? error.message : '',
        })
      }
      return await ask<ImportAnswer>('POST', 'accounts', { accounts, dry_run: dryRun })
    },
    ['accounts', 'clients'],
  )
  const checked = run.data
  return (
    <Stack>
      <PageTitle title={t.wizard.importTitle} />
      <Text>{t.wizard.importText}</Text>
      <Group>
        <FileButton accept="application/json,.json" onChange={(file) => void file?.text().then(setText)}>
          {(props) => (
            <Button variant="default" {...props}>
              {t.common.open} …
            </Button>
          )}
        </FileButton>
      </Group>
      <Textarea
        aria-label={t.wizard.importTitle}
        value={text}
        onChange={(e) => setText(e.currentTarget.value)}
        autosize
        minRows={8}
        maxRows={24}
        styles={{ input: { fontFamily: 'ui-monospace, monospace' } }}
      />
      <Group>
        <Button
          variant="default"
          onClick={() => run.mutate(true)}
          loading={run.isPending}
          disabled={text.trim() === ''}
        >
          {t.wizard.check}
        </Button>
        {checked?.dry_run && (
          <Button onClick={() => run.mutate(false)}>{t.wizard.importDo(checked.accounts.length)}</Button>
        )}
      </Group>
      {run.error && <ProblemNote error={run.error} />}
      {checked && (
        <Table aria-label={t.wizard.importTitle}>
          <Table.Tbody>
            {checked.accounts.map((one) => (
              <Table.Tr key={one.email}>
                <Table.Td>
                  {checked.dry_run ? one.email : <TextLink to={`/accounts/${one.id}`}>{one.email}</TextLink>}
                </Table.Td>
                <Table.Td>
                  <Chip>{t.wizard[one.change]}</Chip>
                </Table.Td>
                <Table.Td>
                  {one.notes.map((note) => (
                    <Text size="sm" key={note}>
                      {note}
                    </Text>
                  ))}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Stack>
  )
}
