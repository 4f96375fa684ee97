import { describe, expect, test } from 'vitest'
import { account, oauth, ofFirst, one, problems } from './account-fields.ts'

describe('how much an account may send', () => {
  test('is taken as it is written; "unlimited" is no limit, and null the preset', () => {
    const sending = {
      connections: 2,
      messages_per_minute: 'unlimited',
      recipients_per_day: 500,
      recipients_per_message: null,
    }
    const limits = { licences: 25, recipients_per_day: null, messages_per_minute: 0 }
    const parsed = one(account({ sending, uncertain_policy: 'hold', auth: oauth({ limits }) }))
    expect(parsed).toMatchObject({
      sending: { connections: 2, messagesPerMinute: 0, recipientsPerDay: 500, recipientsPerMessage: null },
      uncertainPolicy: 'hold',
      auth: { limits: { licences: 25, recipientsPerDay: null, messagesPerMinute: 0 } },
    })
  })

  test('is left as it was where it is shared, or was never asked for', () => {
    const parsed = one(account())
    expect(parsed.auth).not.toHaveProperty('limits')
    expect(parsed).not.toHaveProperty('uncertainPolicy')
  })

  test.each([
    [{ sending: 5 }, 'sending: is not an object'],
    [{ sending: { connections: -1 } }, 'sending.connections: must be a whole number from 0 to 100, or "unlimited"'],
    [
      { sending: { messages_per_minute: 'fast' } },
      'sending.messages_per_minute: must be a whole number from 0 to 1000000, or "unlimited"',
    ],
    [
      { sending: { recipients_per_day: 1.5 } },
      'sending.recipients_per_day: must be a whole number from 0 to 100000000, or "unlimited"',
    ],
    [{ sending: { per_day: 1 } }, 'sending.per_day: is not a field'],
    [{ uncertain_policy: 'never' }, 'uncertain_policy: must be "retry_once", "hold" or "retry"'],
    [{ auth: oauth({ limits: { licences: 0 } }) }, 'auth.limits.licences: is less than 1'],
    [{ auth: oauth({ limits: { seats: 5 } }) }, 'auth.limits.seats: is not a field'],
  ])('is refused where it makes no sense: %j', (fields, problem) => {
    expect(problems(account(fields))).toEqual(ofFirst(problem))
  })
})
