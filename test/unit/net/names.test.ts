import { expect, test } from 'vitest'
import { rememberNames, type ResolvedAddress } from '../../../src/net/names.ts'

const SIX: ResolvedAddress = { address: '2001:db8::1', family: 6 }
const FOUR: ResolvedAddress = { address: '192.0.2.1', family: 4 }

/** A resolver that counts, under a clock that is set by hand. */
function remembered(answer: () => Promise<readonly ResolvedAddress[]> = async () => [SIX, FOUR]) {
  const clock = { now: 0 }
  const asked: string[] = []
  const lookup = (name: string) => {
    asked.push(name)
    return answer()
  }
  return { names: rememberNames(lookup, 1_000, () => clock.now), asked, clock }
}

test('a name is looked up once in a while, however many ask, and anew afterwards', async () => {
  const { names, asked, clock } = remembered()
  const both = await Promise.all([names.resolve('mail.example'), names.resolve('mail.example')])
  expect(both).toEqual([
    [SIX, FOUR],
    [SIX, FOUR],
  ])
  clock.now = 999
  await names.resolve('mail.example')
  expect(asked).toEqual(['mail.example'])
  await names.resolve('other.example')
  clock.now = 1_000
  await names.resolve('mail.example')
  expect(asked).toEqual(['mail.example', 'other.example', 'mail.example'])
})

test('a failure and an empty answer are not remembered', async () => {
  const answers = [() => Promise.reject(new Error('EAI_AGAIN')), async () => [], async () => [FOUR]]
  const { names, asked } = remembered(() => (answers.shift() ?? answers[0]!)())
  await expect(names.resolve('mail.example')).rejects.toThrow('EAI_AGAIN')
  expect(await names.resolve('mail.example')).toEqual([])
  expect(await names.resolve('mail.example')).toEqual([FOUR])
  expect(await names.resolve('mail.example')).toEqual([FOUR])
  expect(asked).toHaveLength(3)
})

test('the address that worked comes first the next time, and only an address of that name', async () => {
  const { names } = remembered()
  await names.resolve('mail.example')
  names.worked('mail.example', FOUR.address)
  names.worked('mail.example', '198.51.100.1')
  names.worked('unknown.example', FOUR.address)
  expect(await names.resolve('mail.example')).toEqual([FOUR, SIX])
})

test('a name none of whose addresses answered is looked up anew', async () => {
  const { names, asked } = remembered()
  await names.resolve('mail.example')
  names.failed('mail.example')
  await names.resolve('mail.example')
  expect(asked).toHaveLength(2)
})

test('of more than a thousand names the oldest are forgotten', async () => {
  const { names, asked } = remembered()
  for (let i = 0; i <= 1_000; i += 1) await names.resolve(`n${i}.example`)
  await names.resolve('n1000.example')
  expect(asked).toHaveLength(1_001)
  await names.resolve('n0.example')
  expect(asked).toHaveLength(1_002)
})
