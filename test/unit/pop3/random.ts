// Random numbers that are the same in every run (xorshift32).

/** `next(n)` is in 0 .. n-1. */
export function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}
