// Which conversation a message belongs to: that of the message it answers where that is stored, else the one its headers name.

import type pg from 'pg'

export interface Threaded {
  readonly id: number
  readonly internetMessageId: string | null
  readonly inReplyTo: string | null
  readonly referenceIds: readonly string[]
}

/** By message id. Messages of the batch find each other, in the order in which they come. */
export async function threadIds(
  client: pg.ClientBase,
  accountId: number,
  batch: readonly Threaded[],
): Promise<ReadonlyMap<number, string>> {
  const named = [...new Set(batch.flatMap(answered))]
  const known = new Map<string, string>()
  if (named.length > 0) {
    const { rows } = await client.query<{ message_id: string; thread_id: string }>(
      `select m.internet_message_id as message_id, c.thread_id
       from poststelle.messages m join poststelle.message_contents c on c.message_id = m.id
       where m.internet_message_id = any($1) and m.account_id = $2 and c.thread_id is not null order by m.id desc`,
      [named, accountId],
    )
    for (const row of rows) known.set(row.message_id, row.thread_id)
  }
  const threads = new Map<number, string>()
  for (const message of batch) {
    const own = message.internetMessageId
    const thread =
      answered(message)
        .map((id) => known.get(id))
        .find((found) => found !== undefined) ??
      message.referenceIds[0] ??
      message.inReplyTo ??
      own ??
      `message-${message.id}`
    threads.set(message.id, thread)
    if (own !== null && !known.has(own)) known.set(own, thread)
  }
  return threads
}

/** The nearest first. */
const answered = ({ inReplyTo, referenceIds }: Threaded): string[] => [
  ...(inReplyTo === null ? [] : [inReplyTo]),
  ...referenceIds.toReversed(),
]
