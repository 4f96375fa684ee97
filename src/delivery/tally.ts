// What went out lately, counted by slots of time (seconds, hours): the memory of a sliding window. Pure.

/** Slots since 1970, and how much fell into each. */
export type Tally = Readonly<Record<string, number>>

export interface Window {
  readonly slotMs: number
  readonly slots: number
}

const slotOf = (at: Date, { slotMs }: Window): number => Math.floor(at.getTime() / slotMs)

/** A slot counts until its last moment has left the window: never too little, by up to a slot too much. */
const oldest = (now: Date, window: Window): number => slotOf(now, window) - window.slots

/** What stands further ahead than one window was written by a clock that was wrong: it may not hold up mail until its time comes. */
const counts = (slot: string, window: Window, now: Date): boolean =>
  Number(slot) >= oldest(now, window) && Number(slot) <= slotOf(now, window) + window.slots

export function sumOf(tally: Tally, window: Window, now: Date): number {
  return Object.entries(tally).reduce((sum, [slot, n]) => (counts(slot, window, now) ? sum + n : sum), 0)
}

/** What has left the window is forgotten. */
export function added(tally: Tally, window: Window, now: Date, n: number): Tally {
  const kept = Object.fromEntries(Object.entries(tally).filter(([slot]) => counts(slot, window, now)))
  const slot = String(slotOf(now, window))
  return n === 0 ? kept : { ...kept, [slot]: (kept[slot] ?? 0) + n }
}

/** Takes `n` back from the newest slots. */
export function takenBack(tally: Tally, n: number): Tally {
  let left = n
  const newestFirst = Object.entries(tally).toSorted(([a], [b]) => Number(b) - Number(a))
  return Object.fromEntries(
    newestFirst.flatMap(([slot, count]) => {
      const taken = Math.min(count, left)
      left -= taken
      return count > taken ? [[slot, count - taken]] : []
    }),
  )
}

/** When no more than `most` are left in the window, if nothing is added: the end of a slot, or now. */
export function downTo(tally: Tally, window: Window, now: Date, most: number): Date {
  let sum = sumOf(tally, window, now)
  if (sum <= most) return now
  const oldestFirst = Object.entries(tally)
    .filter(([slot]) => counts(slot, window, now))
    .toSorted(([a], [b]) => Number(a) - Number(b))
  for (const [slot, n] of oldestFirst) {
    sum -= n
    if (sum <= most) return new Date((Number(slot) + window.slots + 1) * window.slotMs)
  }
  return now
}
