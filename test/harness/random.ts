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

/** Choices that a seed repeats. */
export class Dice {
  readonly #random: () => number

  constructor(seed: number) {
    this.#random = randomNumbers(seed)
    // The first numbers of seeds in a row are alike.
    for (let skipped = 0; skipped < 8; skipped++) this.#random()
  }

  /** A whole number from 0 up to, not including, the limit. */
  below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!
  }

  /** True so often, from 0 to 1. */
  chance(share: number): boolean {
    return this.#random() < share
  }

  /** One of the actions, each as often as its weight says. */
  weighted<Item>(items: readonly (readonly [number, Item])[]): Item {
    let left = this.#random() * items.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, item] of items) {
      left -= weight
      if (left < 0) return item
    }
    return items[0]![1]
  }
}
