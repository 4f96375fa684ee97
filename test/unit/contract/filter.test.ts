// The language of filters: what each word means, in German and in English, and what is said where it means nothing.

import { describe, expect, test } from 'vitest'
import { UserError } from '../../../src/base/failure.ts'
import {
  accountFilterOf,
  inboxFilterOf,
  INBOX_FIELDS,
  outboxFilterOf,
  OUTBOX_FIELDS,
  parseFilter,
} from '../../../src/contract/filter.ts'
import { mulberry32 } from '../../support/random.ts'

const NOW = new Date('2026-11-27T12:00:00Z')
const resolver = {
  now: NOW,
  accountId: async (name: string) => {
    if (name !== 'info@muster.example') throw new UserError(`there is no account "${name}"`)
    return 7
  },
}

describe('words and fields', () => {
  test.each([
    ['Rechnung 2026', [], 'Rechnung 2026'],
    [
      'von:anna betreff:"Angebot 7"',
      [
        { field: 'from', value: 'anna' },
        { field: 'subject', value: 'Angebot 7' },
      ],
      '',
    ],
    ['FROM:anna Schrauben', [{ field: 'from', value: 'anna' }], 'Schrauben'],
    ['Re: Angebot', [], 'Re: Angebot'],
    ['http://muster.example/a:b', [], 'http://muster.example/a:b'],
    ['-"nicht dies" sonst', [], '-"nicht dies" sonst'],
    ['-von:anna', [], '-von:anna'],
    [
      'größer:5MB anhang:ja',
      [
        { field: 'larger', value: '5MB' },
        { field: 'attachment', value: 'ja' },
      ],
      '',
    ],
  ])('%s', (text, terms, words) => {
    expect(parseFilter(text, INBOX_FIELDS)).toEqual({ terms, words })
  })

  test.each([
    ['von:', /"von:" has no value/],
    ['betreff:""', /"betreff:" has no value/],
    ['key:7', /"key:" does not narrow this list; what does: status, account, from/],
    ['von:a '.repeat(21), /more than 20 conditions/],
  ])('%s is refused in words', (text, sentence) => {
    expect(() => parseFilter(text, INBOX_FIELDS)).toThrow(sentence)
  })

  test('whatever is typed is either understood or refused as the fault of the one who typed it', async () => {
    const next = mulberry32(7)
    const pieces = [
      'von:',
      'status:',
      'seit:',
      '"',
      '-',
      ' ',
      ':',
      'größer:',
      'id:',
      'x',
      '\u0000',
      '%',
      "'",
      '\\',
      '💌',
      '7d',
      'a@b',
    ]
    for (let round = 0; round < 3_000; round += 1) {
      const text = Array.from(
        { length: 1 + Math.floor(next() * 8) },
        () => pieces[Math.floor(next() * pieces.length)],
      ).join('')
      for (const of of [inboxFilterOf, outboxFilterOf] as const) {
        const said = await of(text, resolver).then(
          () => undefined,
          (error: unknown) => error,
        )
        expect(said === undefined || said instanceof UserError, text).toBe(true)
      }
    }
  })
})

describe('what the lists are narrowed by', () => {
  test('outgoing mail', async () => {
    expect(
      await outboxFilterOf(
        'zustand:zurückgestellt,ungewiss konto:info@muster.example an:@kunde.example seit:7d Rechnung',
        resolver,
      ),
    ).toMatchObject({
      states: ['deferred', 'uncertain'],
      accountId: 7,
      recipient: 'kunde.example',
      since: new Date('2026-11-20T12:00:00Z'),
      subject: 'Rechnung',
    })
    expect((await outboxFilterOf('status:open', resolver)).states).toContain('held')
    expect((await outboxFilterOf('id:3,4', resolver)).ids).toEqual([3, 4])
  })

  test('received mail', async () => {
    expect(
      await inboxFilterOf(
        'status:quarantäne größer:1,5MB anhang:nein msgid:<1@x> bis:24.11.2026 Rechnung -Entwurf',
        resolver,
      ),
    ).toMatchObject({
      state: 'quarantined',
      largerThan: 1.5 * 1024 * 1024,
      hasAttachment: false,
      messageId: '<1@x>',
      search: 'Rechnung -Entwurf',
    })
    expect(await inboxFilterOf('status:neu', resolver)).toMatchObject({ unacknowledged: true })
  })

  test('accounts', () => {
    expect(accountFilterOf('status:gesperrt,verspätet ursache:pop_disabled app:bm_mail info@')).toEqual({
      states: ['blocked', 'late'],
      flag: 'pop_disabled',
      provider: undefined,
      app: 'bm_mail',
      words: 'info@',
    })
  })

  test.each([
    ['status:kaputt', /"kaputt" is not a state; there are/],
    ['seit:vorgestern', /"vorgestern" is not a time; write 2026-11-23/],
    ['konto:niemand@muster.example', /there is no account "niemand@muster.example"/],
    ['id:x', /"id:" takes numbers/],
    ['grund:laune', /"laune" is not a reason/],
  ])('%s', async (text, sentence) => {
    await expect(outboxFilterOf(text, resolver)).rejects.toThrow(sentence)
  })

  test('no field of a list is without an effect', async () => {
    for (const [fields, of] of [
      [INBOX_FIELDS, inboxFilterOf],
      [OUTBOX_FIELDS, outboxFilterOf],
    ] as const)
      for (const field of fields) {
        const value =
          {
            status: field === 'status' ? (fields === INBOX_FIELDS ? 'parsed' : 'sent') : '',
            account: 'info@muster.example',
            reason: 'manual',
            id: '1',
            since: '7d',
            before: '1d',
            larger: '1k',
            attachment: 'yes',
          }[field as string] ?? 'x'
        const name = field === 'message_id' ? 'msgid' : field
        const set = Object.values(await of(`${name}:${value}`, resolver)).filter((one) => one !== undefined)
        expect(set, field).toHaveLength(1)
      }
  })
})
