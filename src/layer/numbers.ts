/** Numbers of a page: growing by pages neither copies what is there nor leaves it to be collected. */
const pageSize = 1 << 16
/** Most lists stay short, of which every layer has some: their first page begins with room for so many, and is copied as it grows. */
const firstSize = 1 << 10

/** A list of whole numbers that grows, at four bytes each. */
export class Numbers {
  readonly #pages: Int32Array[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  get(index: number): number {
    return this.#pages[index >>> 16]![index & (pageSize - 1)]!
  }

  set(index: number, value: number): void {
    this.#pages[index >>> 16]![index & (pageSize - 1)] = value
  }

  push(value: number): void {
    const index = this.#length++
    if (index === 0) this.#pages.push(new Int32Array(firstSize))
    else if (index < pageSize) this.#growFirst(index)
    else if ((index & (pageSize - 1)) === 0) this.#pages.push(new Int32Array(pageSize))
    this.set(index, value)
  }

  #growFirst(index: number): void {
    const first = this.#pages[0]!
    if (index < first.length) return
    this.#pages[0] = new Int32Array(2 * first.length)
    this.#pages[0].set(first)
  }
}
