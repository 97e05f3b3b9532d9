/** Reads a stream by sizes that its format states, whatever the chunks it comes in. */

export class PieceReader {
  readonly #source: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  /** The reader closes the source: see {@link close}. */
  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /**
   * Looks at the next bytes and leaves them.
   *
   * @param size a few bytes: they may be copied
   * @returns fewer at the end of the stream only
   */
  async peek(size: number): Promise<Buffer> {
    while (this.#rest.length < size) {
      // A copy: the source may reuse its buffer as soon as it is asked for more.
      const held = Buffer.from(this.#rest)
      this.#rest = held
      const {done, value} = await this.#source.next()
      if (done === true) break
      this.#rest = held.length === 0 ? value : Buffer.concat([held, value])
    }
    return this.#rest.subarray(0, size)
  }

  /** Hands the next bytes on, in pieces that are valid until the next one is asked for. Ends early where the stream does. */
  async *take(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0; ) {
      if (this.#rest.length === 0 && (await this.peek(1)).length === 0) return
      const piece = this.#rest.subarray(0, left)
      this.#rest = this.#rest.subarray(piece.length)
      left -= piece.length
      yield piece
    }
  }

  async close(): Promise<void> {
    await this.#source.return?.()
  }
}
