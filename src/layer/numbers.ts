/** Numbers of a page: growing by pages neither copies what is there nor leaves it to be collected. */
const pageSize = 1 << 16

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
    if ((index & (pageSize - 1)) === 0) this.#pages.push(new Int32Array(pageSize))
    this.set(index, value)
  }
}
