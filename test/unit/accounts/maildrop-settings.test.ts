import { describe, expect, test } from 'vitest'
import { account, ofFirst, one, problems } from './account-fields.ts'

describe('how a maildrop is collected', () => {
  test('is taken as it is written', () => {
    const policy = {
      poll_interval_seconds: 60,
      poll_interval_max_seconds: 900,
      delete_after_days: 30,
      delete_after_ack: true,
      first_sync: 'last_days',
      first_sync_days: 14,
      max_session_messages: 100,
      max_session_bytes: 10_485_760,
      max_message_bytes: 1_048_576,
      freshness_minutes: 240,
    }
    expect(one(account(policy)).maildrop).toEqual({
      pollIntervalSeconds: 60,
      pollIntervalMaxSeconds: 900,
      deleteAfterDays: 30,
      deleteAfterAck: true,
      firstSync: 'last_days',
      firstSyncDays: 14,
      maxSessionMessages: 100,
      maxSessionBytes: 10_485_760,
      maxMessageBytes: 1_048_576,
      freshnessMinutes: 240,
      canaryMinutes: null,
    })
  })

  test.each([
    [{ first_sync: 'last_days' }, 'first_sync_days: is missing; "first_sync": "last_days" needs it'],
    [{ first_sync_days: 3 }, 'first_sync_days: has a meaning only with "first_sync": "last_days"'],
    [{ first_sync: 'none' }, 'first_sync: must be "all", "from_now" or "last_days"'],
    [{ first_sync: 'last_days', first_sync_days: 0 }, 'first_sync_days: is less than 1'],
    [{ poll_interval_max_seconds: 299 }, 'poll_interval_max_seconds: is less than poll_interval_seconds'],
    [{ poll_interval_max_seconds: 90_000 }, 'poll_interval_max_seconds: is more than a day'],
    [{ delete_after_ack: 'yes' }, 'delete_after_ack: must be true or false'],
    [{ max_message_bytes: 1_000 }, 'max_message_bytes: is less than 64 KiB'],
    [{ max_message_bytes: 2_000_000_000 }, 'max_message_bytes: is more than 1 GiB'],
    [{ max_session_bytes: 1.5 }, 'max_session_bytes: is not a whole number'],
    [{ max_session_messages: 0 }, 'max_session_messages: is less than 1'],
  ])('is refused where it makes no sense: %j', (fields, problem) => {
    expect(problems(account(fields))).toEqual(ofFirst(problem))
  })
})
