/**
 * The CRC-64 of ISO 3309, with which tar-split knows the content of files.
 *
 * Its polynomial x^64 + x^4 + x^3 + x + 1 has so few terms that 32 bits are taken at a time with shifts alone: a product with
 * x^4 + x^3 + x + 1 needs no second reduction. That makes 3 GB a second, without tables; a library of the system's, which is
 * taken for long runs where there is one, several times that.
 *
 * @see Go hash/crc64, ISO; vbatts/tar-split tar/storage/getter.go, CRCTable
 */
import type {SumBytes} from '../os/crc64-library.ts'

/** Bytes from where on a library is faster than the way to it. */
const longRun = 2 * 1024

/** A checksum of 64 bits, as two unsigned halves. */
export interface Checksum {
  readonly high: number
  readonly low: number
}

/** Computes one checksum after the other. */
export class Crc64 {
  readonly #sumBytes: SumBytes | undefined
  #high = -1
  #low = -1
  #bytes: Uint8Array = new Uint8Array()
  /** The same bytes, from the first one that is aligned. */
  #words: Int32Array = new Int32Array()

  /** @param sumBytes takes long runs */
  constructor(sumBytes?: SumBytes) {
    this.#sumBytes = sumBytes
  }

  /** Takes the bytes of `bytes` from `start` to `end`; shared memory will do. Another `bytes` than before costs most. */
  update(bytes: Uint8Array, start = 0, end = bytes.length): void {
    if (this.#sumBytes !== undefined && end - start >= longRun) {
      this.#takeRun(this.#sumBytes, bytes.subarray(start, end))
      return
    }
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
    const checksum = this.#complement()
    this.#high = -1
    this.#low = -1
    return checksum
  }

  #view(bytes: Uint8Array): void {
    const start = bytes.byteOffset + (-bytes.byteOffset & 3)
    const end = bytes.byteOffset + bytes.length
    this.#bytes = bytes
    this.#words = end - start < 4 ? new Int32Array() : new Int32Array(bytes.buffer, start, (end - start) >>> 2)
  }

  /** The library's sums are those that are found in the end: the registers are their complement. */
  #takeRun(sumBytes: SumBytes, bytes: Uint8Array): void {
    const {high, low} = this.#complement()
    const sum = sumBytes((BigInt(high) << 32n) | BigInt(low), bytes)
    this.#high = ~Number(sum >> 32n)
    this.#low = ~Number(sum & 0xffff_ffffn)
  }

  #complement(): Checksum {
    return {high: ~this.#high >>> 0, low: ~this.#low >>> 0}
  }

  // In the registers, the highest bit of `high` is the coefficient of x^0: multiplying by x is a shift to the right.

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
