// One received message: facts, text, harmless HTML, attachments, and what it belongs to.

import { Alert, Anchor, Button, Paper, Stack, Table, Tabs, Text, Title } from '@mantine/core'
import type { InboxMessageJson } from '../../../src/contract/inbox.ts'
import { address, ask, useChange, useGet } from '../api.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { Facts, Loaded, PageTitle, ProblemNote, TextLink } from '../parts/basics.tsx'
import { ConfirmButton } from '../parts/confirm-button.tsx'
import { useMay } from '../person.ts'

export default function InboxMessagePage({ id }: { id: string }) {
  const message = useGet<InboxMessageJson>('inbox', `inbox/${id}`)
  return <Loaded query={message}>{(data) => <Message message={data} />}</Loaded>
}

function Message({ message: m }: { message: InboxMessageJson }) {
  const t = useT()
  const format = useFormat()
  const may = useMay('operator')
  const acknowledge = useChange(() => ask('POST', 'inbox/acknowledge', { ids: [m.id] }), ['inbox'])
  const reparse = useChange(
    (raised: boolean) => ask('POST', 'inbox/reparse', { ids: [m.id], raised_limits: raised }),
    ['inbox'],
  )
  return (
    <Stack>
      <PageTitle title={m.subject ?? t.inbox.noSubject}>
        {m.may_read && (
          <Button component="a" href={address(`api/v1/inbox/${m.id}/raw`)} download variant="default">
            {t.inbox.raw}
          </Button>
        )}
        {may && m.acknowledged_at === null && (
          <Button variant="default" loading={acknowledge.isPending} onClick={() => acknowledge.mutate(undefined)}>
            {t.inbox.acknowledge}
          </Button>
        )}
        {may && (
          <ConfirmButton
            variant="default"
            label={t.inbox.reparse}
            text={m.parse_state === 'quarantined' ? t.inbox.reparseRaisedText : t.inbox.reparseText}
            onConfirm={() => reparse.mutateAsync(m.parse_state === 'quarantined')}
          />
        )}
      </PageTitle>
      {[acknowledge.error, reparse.error].map((error) => error && <ProblemNote key={error.message} error={error} />)}
      {!m.complete && <Alert color="orange">{t.inbox.headersOnly}</Alert>}
      {m.parse_reason && (
        <Alert color="orange" title={t.inbox.quarantined}>
          {m.parse_reason}
        </Alert>
      )}
      <Facts
        rows={[
          [t.inbox.from, [m.from_name, m.from_address && `<${m.from_address}>`].filter(Boolean).join(' ')],
          [t.inbox.to, m.to_addresses],
          [
            t.inbox.account,
            <TextLink key="a" to={`/accounts/${m.account_id}`}>
              {m.account}
            </TextLink>,
          ],
          [t.inbox.received, format.dateTime(m.received_at)],
          [t.inbox.size, format.bytes(m.size_bytes)],
          [
            t.inbox.state,
            m.acknowledged_at
              ? `${t.inbox.acknowledged}, ${format.dateTime(m.acknowledged_at)}`
              : t.inbox.notAcknowledged,
          ],
          [t.inbox.messageId, m.message_id && <span className="mono">{m.message_id}</span>],
          [
            t.inbox.sha,
            <span key="s" className="mono">
              {m.sha256}
            </span>,
          ],
          ...m.parse_notes.map((note) => ['', note] as const),
        ]}
      />
      {m.may_read ? <Contents message={m} /> : <Alert color="gray">{t.inbox.mayNot}</Alert>}
      {m.attachments.length > 0 && (
        <section>
          <Title order={2} size="h5" mb="xs">
            {t.inbox.attachments}
          </Title>
          <Table aria-label={t.inbox.attachments}>
            <Table.Tbody>
              {m.attachments.map((file) => (
                <Table.Tr key={file.ordinal}>
                  <Table.Td className="anywhere">
                    {m.may_read ? (
                      <Anchor href={address(`api/v1/inbox/${m.id}/attachments/${file.ordinal}`)} download>
                        {file.name}
                      </Anchor>
                    ) : (
                      file.name
                    )}
                  </Table.Td>
                  <Table.Td>{file.content_type}</Table.Td>
                  <Table.Td>{format.bytes(file.size_bytes)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </section>
      )}
      {m.delivery_reports.length > 0 && (
        <section>
          <Title order={2} size="h5" mb="xs">
            {t.inbox.reports}
          </Title>
          {m.delivery_reports.map((report) => (
            <Text size="sm" key={`${report.recipient} ${report.action}`} className="anywhere">
              {report.recipient}: {report.action} {report.status} {report.diagnostic}{' '}
              {report.outbound_message_id !== null && (
                <TextLink to={`/outbox/${report.outbound_message_id}`}>{t.common.open}</TextLink>
              )}
            </Text>
          ))}
        </section>
      )}
      {m.thread.length > 0 && (
        <section>
          <Title order={2} size="h5" mb="xs">
            {t.inbox.thread}
          </Title>
          {m.thread.map((other) => (
            <Text size="sm" key={other.id} className="anywhere">
              {format.dateTime(other.received_at)} · {other.from_address} ·{' '}
              <TextLink to={`/inbox/${other.id}`}>{other.subject ?? t.inbox.noSubject}</TextLink>
            </Text>
          ))}
        </section>
      )}
    </Stack>
  )
}

function Contents({ message: m }: { message: InboxMessageJson }) {
  const t = useT()
  return (
    <Tabs defaultValue="text" keepMounted={false}>
      <Tabs.List>
        <Tabs.Tab value="text">{t.inbox.text}</Tabs.Tab>
        {m.has_html && <Tabs.Tab value="html">{t.inbox.html}</Tabs.Tab>}
      </Tabs.List>
      <Tabs.Panel value="text" pt="sm">
        <Paper withBorder p="md">
          {m.body_text ? <pre className="mail-text">{m.body_text}</pre> : <Text c="dimmed">{t.inbox.noText}</Text>}
        </Paper>
      </Tabs.Panel>
      {m.has_html && (
        <Tabs.Panel value="html" pt="sm">
          <Text size="xs" c="dimmed" mb={4}>
            {t.inbox.htmlNote}
          </Text>
          <iframe
            className="mail-frame"
            sandbox=""
            src={address(`api/v1/inbox/${m.id}/html`)}
            title={t.inbox.frame}
            referrerPolicy="no-referrer"
          />
        </Tabs.Panel>
      )}
    </Tabs>
  )
}
