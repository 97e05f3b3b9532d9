/** Random numbers that a seed repeats, so that a failure can be tried again. */

/** @returns numbers from 0 up to, not including, 1. @see Marsaglia, "Xorshift RNGs", 2003 */
export function randomNumbers(seed: number): () => number {
  // Zero would give zeros for ever.
  let state = Math.imul(seed, 0x9e3779b1) | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
