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

  /** Takes the bytes of `bytes` from `start` to `end`; shared memory will do. */
  update(bytes: Uint8Array, start = 0, end = bytes.length): void {
    const unaligned = -(bytes.byteOffset + start) & 3
    const wordsFrom = Math.min(end, start + unaligned)
    const count = (end - wordsFrom) >>> 2
    this.#bytes(bytes, start, wordsFrom)
    if (count > 0) this.#words(new Int32Array(bytes.buffer, bytes.byteOffset + wordsFrom, count))
    this.#bytes(bytes, wordsFrom + 4 * count, end)
  }

  /** The checksum of all that was taken; the next one begins. */
  finish(): Checksum {
    const checksum = {high: ~this.#high >>> 0, low: ~this.#low >>> 0}
    this.#high = -1
    this.#low = -1
    return checksum
  }

  // In the registers, the highest bit of `high` is the coefficient of x^0: multiplying by x is a shift to the right.

  /** The words are of the machine's order, which is the little end first wherever Node runs on Linux and macOS. */
  #words(words: Int32Array): void {
    let high = this.#high
    let low = this.#low
    for (let at = 0; at < words.length; at++) {
      const word = low ^ words[at]!
      low = high ^ (word << 31) ^ (word << 29) ^ (word << 28)
      high = word ^ (word >>> 1) ^ (word >>> 3) ^ (word >>> 4)
    }
    this.#high = high
    this.#low = low
  }

  #bytes(bytes: Uint8Array, start: number, end: number): void {
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
