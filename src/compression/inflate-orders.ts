/** What one thread asks another to decompress: a gzip stream that lies in an open file, into chunks of shared memory. */
import {createHash, type Hash} from 'node:crypto'
import {readSync} from 'node:fs'
import {digestAlgorithms} from '../digest.ts'
import {GzipMember} from '../os/zlib.ts'
import {firstWord, type Records, type Run} from '../thread/ring.ts'

/** What an order is, in its first word. */
export const order = {open: 0, fill: 1, close: 2} as const
export const word = {
  kind: firstWord,
  descriptor: firstWord + 1,
  offset: firstWord + 1,
  length: firstWord + 2,
  /** Of the stored bytes' digest, as an index; -1 for none. */
  algorithm: firstWord + 2,
} as const
/** Numbers of 64 bits: where the stream lies in its file, and, as an answer, how much of it was read. */
export const longWord = {position: 3, size: 4, read: 5} as const
export const orderSize = 12

/** Results of an order that are no number of bytes. */
export const failure = {damaged: -1, truncated: -2, unreadable: -3} as const

/** Bytes for what is told in words, or for a digest. */
export const noteSize = 256
const inputSize = 256 * 1024

/** Carries out orders. @param note where the message of a failure goes, ended by a NUL, and the digest in the end */
export function inflateOrders(chunks: SharedArrayBuffer, note: SharedArrayBuffer): Run {
  const memory = Buffer.from(chunks)
  const told = Buffer.from(note)
  let stream: GzipStream | undefined
  /** Why the stream is read no further. */
  let failed = 0
  const carryOut = ({words, longs}: Records, at: number): number => {
    const long = at >> 1
    switch (words[at + word.kind]) {
      case order.open:
        failed = 0
        stream = new GzipStream(
          words[at + word.descriptor]!,
          longs[long + longWord.position]!,
          longs[long + longWord.size]!,
          digestAlgorithms[words[at + word.algorithm]!],
        )
        return 0
      case order.fill: {
        const offset = words[at + word.offset]!
        const produced = stream!.fill(memory.subarray(offset, offset + words[at + word.length]!))
        longs[long + longWord.read] = stream!.read
        return produced
      }
      default:
        stream?.close(told)
        stream = undefined
        return 0
    }
  }
  return (records, at) => {
    // Orders that were given before the failure was known.
    if (failed !== 0 && records.words[at + word.kind] === order.fill) return failed
    try {
      return carryOut(records, at)
    } catch (error) {
      told.fill(0)
      failed = classify(error)
      const {code, message} = error as NodeJS.ErrnoException
      told.write(failed === failure.unreadable ? (code ?? '') : message, 0, noteSize - 1)
      return failed
    }
  }
}

class Truncated extends Error {}

function classify(error: unknown): number {
  if (error instanceof Truncated) return failure.truncated
  return typeof (error as NodeJS.ErrnoException).errno === 'number' ? failure.unreadable : failure.damaged
}

/** One gzip stream: its members, and what may stand behind them. */
class GzipStream {
  readonly #descriptor: number
  readonly #position: number
  readonly #size: number
  readonly #hash: Hash | undefined
  readonly #member = new GzipMember()
  readonly #input = Buffer.allocUnsafe(inputSize)
  /** What of the input is not used yet. */
  #rest = this.#input.subarray(0, 0)
  #isInMember = true
  #isPadding = false
  read = 0

  constructor(descriptor: number, position: number, size: number, algorithm: string | undefined) {
    this.#descriptor = descriptor
    this.#position = position
    this.#size = size
    this.#hash = algorithm === undefined ? undefined : createHash(algorithm)
  }

  /** @returns bytes; fewer than there is room for at the end only */
  fill(output: Buffer): number {
    let filled = 0
    while (filled < output.length && this.#hasInput()) {
      if (!this.#isInMember) this.#startMember()
      if (this.#isPadding) this.#passPadding()
      else filled += this.#inflate(output.subarray(filled))
    }
    if (filled < output.length && this.#isInMember) throw new Error('unexpected end of file')
    return filled
  }

  /** @param room for the digest of all stored bytes */
  close(room: Buffer): void {
    this.#member.close()
    this.#hash?.digest().copy(room)
  }

  #inflate(output: Buffer): number {
    const {consumed, produced, ended} = this.#member.inflate(this.#rest, output)
    this.#rest = this.#rest.subarray(consumed)
    if (ended) this.#isInMember = false
    return produced
  }

  /** Zero bytes pad tapes, and gzip(1) accepts them; anything else is the next member. */
  #startMember(): void {
    if (this.#rest[0] === 0) this.#isPadding = true
    if (this.#isPadding) return
    this.#member.reset()
    this.#isInMember = true
  }

  #passPadding(): void {
    if (this.#rest.some((byte) => byte !== 0)) throw new Error('other data follows the last member')
    this.#rest = this.#rest.subarray(this.#rest.length)
  }

  /** Reads on where nothing is left. @returns false at the end */
  #hasInput(): boolean {
    if (this.#rest.length > 0) return true
    const wanted = Math.min(inputSize, this.#size - this.read)
    if (wanted === 0) return false
    const count = readSync(this.#descriptor, this.#input, 0, wanted, this.#position + this.read)
    if (count === 0) throw new Truncated(String(this.read))
    this.#rest = this.#input.subarray(0, count)
    this.#hash?.update(this.#rest)
    this.read += count
    return true
  }
}
