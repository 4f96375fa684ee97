// Received mail: to prove that something arrived, and to find it.

import { Group, Text } from '@mantine/core'
import type { InboxEntryJson } from '../../../src/contract/inbox.ts'
import { useFormat, useT } from '../i18n/index.ts'
import { PageTitle, TextLink, Chip } from '../parts/basics.tsx'
import { FilterField, List, QuickFilters, type Column } from '../parts/list.tsx'

export default function InboxPage() {
  const t = useT()
  const format = useFormat()
  const columns: Column<InboxEntryJson>[] = [
    {
      head: t.inbox.received,
      narrow: true,
      cell: (m) => <time dateTime={m.received_at}>{format.dateTime(m.received_at)}</time>,
    },
    { head: t.inbox.account, cell: (m) => m.account },
    { head: t.inbox.from, cell: (m) => m.from_name ?? m.from_address ?? t.inbox.noSender },
    {
      head: t.inbox.subject,
      wide: true,
      cell: (m) => (
        <Group gap={6} wrap="nowrap">
          <TextLink to={`/inbox/${m.id}`}>
            <Text component="span" fw={m.acknowledged_at ? 400 : 600}>
              {m.subject ?? t.inbox.noSubject}
            </Text>
          </TextLink>
          {m.attachment_count > 0 && <Chip>{t.inbox.files(m.attachment_count)}</Chip>}
          {m.parse_state === 'quarantined' && <Chip colour="failing">{t.inbox.quarantined}</Chip>}
        </Group>
      ),
    },
    { head: t.inbox.size, narrow: true, cell: (m) => format.bytes(m.size_bytes) },
    {
      head: t.inbox.state,
      narrow: true,
      cell: (m) =>
        m.acknowledged_at
          ? t.inbox.acknowledged
          : m.parse_state === 'pending'
            ? t.inbox.pending
            : t.inbox.notAcknowledged,
    },
  ]
  return (
    <>
      <PageTitle title={t.inbox.title} />
      <FilterField
        hint={t.inbox.filterHint}
        fields={[
          'from:',
          'to:',
          'subject:',
          'account:',
          'since:today',
          'since:7d',
          'attachment:yes',
          'status:new',
          'status:quarantined',
          'larger:10MB',
          'msgid:',
        ]}
      />
      <QuickFilters
        filters={[
          [t.inbox.notAcknowledged, 'status:new'],
          [t.inbox.quarantined, 'status:quarantined'],
          [t.inbox.attachments, 'attachment:yes'],
        ]}
      />
      <List<InboxEntryJson>
        topic="inbox"
        path="inbox"
        columns={columns}
        to={(m) => `/inbox/${m.id}`}
        label={(m) => m.subject ?? t.inbox.noSubject}
        empty={t.inbox.empty}
        none={t.inbox.none}
      />
    </>
  )
}
