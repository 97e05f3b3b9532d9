/**
 * The CRC-64 of ISO 3309, with which tar-split knows the content of files.
 *
 * Its polynomial x^64 + x^4 + x^3 + x + 1 has so few terms that 32 bits are taken at a time with shifts alone: a product with
 * x^4 + x^3 + x + 1 needs no second reduction. That is as fast as memory lets it be, and needs no tables.
 *
 * @see Go hash/crc64, ISO; vbatts/tar-split tar/storage/getter.go, CRCTable
 */

/** A checksum of 64 bits, as two unsigned halves. */
export interface Checksum {
  readonly high: number
  readonly low: number
}

/** Computes one checksum after the other. */
export class Crc64 {
  #high = -1
  #low = -1
  #bytes: Uint8Array = new Uint8Array()
  /** The same bytes, from the first one that is aligned. */
  #words: Int32Array = new Int32Array()

  /** Takes the bytes of `bytes` from `start` to `end`; shared memory will do. Another `bytes` than before costs most. */
  update(bytes: Uint8Array, start = 0, end = bytes.length): void {
    if (bytes !== this.#bytes) this.#view(bytes)
    const wordsFrom = Math.min(end, start + (-(bytes.byteOffset + start) & 3))
    const count = (end - wordsFrom) >>> 2
    const first = wordsFrom >>> 2
    this.#takeBytes(start, wordsFrom)
    this.#takeWords(first, first + count)
    this.#takeBytes(wordsFrom + 4 * count, end)
  }

  /** The checksum of all that was taken; the next one begins. */
  finish(): Checksum {
    const checksum = {high: ~this.#high >>> 0, low: ~this.#low >>> 0}
    this.#high = -1
    this.#low = -1
    return checksum
  }

  // In the registers, the highest bit of `high` is the coefficient of x^0: multiplying by x is a shift to the right.

  #view(bytes: Uint8Array): void {
    const start = bytes.byteOffset + (-bytes.byteOffset & 3)
    const end = bytes.byteOffset + bytes.length
    this.#bytes = bytes
    this.#words = end - start < 4 ? new Int32Array() : new Int32Array(bytes.buffer, start, (end - start) >>> 2)
  }

  /** The words are of the machine's order, which is the little end first wherever Node runs on Linux and macOS. */
  #takeWords(from: number, to: number): void {
    const words = this.#words
    let high = this.#high
    let low = this.#low
    for (let at = from; at < to; at++) {
      const word = low ^ words[at]!
      low = high ^ (word << 31) ^ (word << 29) ^ (word << 28)
      high = word ^ (word >>> 1) ^ (word >>> 3) ^ (word >>> 4)
    }
    this.#high = high
    this.#low = low
  }

  #takeBytes(start: number, end: number): void {
    const bytes = this.#bytes
    let high = this.#high
    let low = this.#low
    for (let at = start; at < end; at++) {
      const byte = (low ^ bytes[at]!) & 0xff
      low = (low >>> 8) | (high << 24)
      high = (high >>> 8) ^ (byte << 24) ^ (byte << 23) ^ (byte << 21) ^ (byte << 20)
    }
    this.#high = high
    this.#low = low
  }
}
