import { describe, expect, test } from 'vitest'
import { judge, LANGUAGES, stateText, verdictText, type Lamps } from '../../../src/health/verdict.ts'

/** 'ok/blocked': receive ok, send blocked; '-': that half is not set up; '!' behind it: a flag is open. */
const lamps = (text: string): Lamps[] =>
  text
    .split(' ')
    .filter(Boolean)
    .map((pair) => {
      const [receive, send] = pair
        .replace('!', '')
        .split('/')
        .map((state) => (state === '-' ? null : { state }))
      return { receive: receive ?? null, send: send ?? null, flags: pair.endsWith('!') ? ['flag'] : [] }
    })

describe('the verdict', () => {
  test.each([
    ['', 'Alles läuft.', 'All is well.'],
    ['ok/ok new/- -/ok paused/paused', 'Alles läuft.', 'All is well.'],
    ['new/new! ok/ok', 'Läuft, mit 1 Hinweis.', 'Running, with 1 note.'],
    ['ok/failing', 'Läuft, mit 1 Hinweis.', 'Running, with 1 note.'],
    ['late/failing failing/ok -/late', 'Läuft, mit 3 Hinweisen.', 'Running, with 3 notes.'],
    ['blocked/blocked ok/ok', '1 Konto braucht Sie.', '1 account needs you.'],
    ['blocked/ok -/blocked failing/late', '2 Konten brauchen Sie.', '2 accounts need you.'],
  ])('about "%s" is "%s" / "%s"', (accounts, german, english) => {
    const verdict = judge(lamps(accounts), true)
    expect([verdictText(verdict, 'de'), verdictText(verdict, 'en')]).toEqual([german, english])
  })

  test.each(['', 'ok/ok', 'blocked/blocked'])(
    'without a living worker is always the same, for nothing else matters then ("%s")',
    (accounts) => {
      const verdict = judge(lamps(accounts), false)
      expect([verdictText(verdict, 'de'), verdictText(verdict, 'en')]).toEqual([
        'Der Dienst steht.',
        'The service has stopped.',
      ])
    },
  )
})

test('every state of a lamp has a name in both languages; no lamp is a dash', () => {
  const states = ['new', 'ok', 'late', 'failing', 'blocked', 'paused']
  for (const language of LANGUAGES) {
    const names = states.map((state) => stateText(state, language))
    expect(new Set(names).size).toBe(states.length)
    expect(names).not.toContain('–')
    expect(stateText(undefined, language)).toBe('–')
  }
})
