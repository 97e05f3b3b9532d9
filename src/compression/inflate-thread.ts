/** Decompresses gzip on another thread, ahead of whoever takes the chunks. */
import {setImmediate} from 'node:timers/promises'
import {type Digest, digestAlgorithms, digestSize} from '../digest.ts'
import {hasZlib} from '../os/zlib.ts'
import type {Chunks} from '../thread/chunks.ts'
import {Ring} from '../thread/ring.ts'
import {RingThread} from '../thread/worker.ts'
import {damaged} from './codec.ts'
import {failure, inflateOrders, longWord, noteSize, order, orderSize, word} from './inflate-orders.ts'

/** Orders that may be open. */
const capacity = 16
/** Chunks that are decompressed ahead. */
const chunksAhead = 8

/** Stored bytes in an open file. */
export interface StoredBytes {
  readonly descriptor: number
  /** Of the first byte in the file. */
  readonly position: number
  readonly size: number
  /** The error for a file that has fewer bytes. */
  truncated(read: number): Error
  /** The error for a file that cannot be read. */
  unreadable(code: string): Error
}

export class InflateThread {
  readonly #chunks: Chunks
  readonly #ring: Ring
  readonly #note = new SharedArrayBuffer(noteSize)
  readonly #thread: RingThread

  /** Whether there can be one. */
  static isPossible(): boolean {
    return hasZlib()
  }

  /** Begins at once. Close it. @param chunks what is decompressed into */
  constructor(chunks: Chunks) {
    this.#chunks = chunks
    this.#ring = new Ring(capacity, orderSize, inflateOrders(chunks.memory, this.#note))
    this.#thread = new RingThread(new URL('./inflate-worker', import.meta.url).href, this.#ring, {
      chunks: chunks.memory,
      note: this.#note,
    })
  }

  /** Resolves when it is ready, or never will be. */
  get settled(): Promise<void> {
    return this.#thread.settled
  }

  /**
   * Decompresses a stream.
   *
   * @param stored stays open until the iteration has ended
   * @param algorithm of the digest of the stored bytes; undefined for none
   * @param onRead is told how many stored bytes have been read
   * @returns chunks that are valid until the next one is asked for, then the digest
   * @throws {ImgtoolError} COMPRESSION_INVALID, and what {@link StoredBytes} makes
   */
  async *inflate(
    stored: StoredBytes,
    algorithm: string | undefined,
    onRead: (bytes: number) => void,
  ): AsyncGenerator<Buffer, Digest | undefined> {
    this.#give(
      order.open,
      stored.descriptor,
      algorithm === undefined ? -1 : digestAlgorithms.indexOf(algorithm),
      stored,
    )
    const ahead: {readonly chunk: Buffer; readonly order: number}[] = []
    try {
      for (let turn = 0, isWhole = true; isWhole; turn++) {
        // Signals are handled by the event loop, which nothing here would let run.
        if (turn % capacity === 0) await setImmediate()
        while (ahead.length < chunksAhead) {
          const chunk = this.#chunks.take()
          ahead.push({chunk, order: this.#give(order.fill, chunk.byteOffset, chunk.length)})
        }
        const {chunk, order: number} = ahead[0]!
        const filled = this.#resultOf(number, stored, onRead)
        isWhole = filled === chunk.length
        if (filled > 0) yield chunk.subarray(0, filled)
        this.#chunks.release(chunk)
        ahead.shift()
      }
    } finally {
      this.#ring.wait(this.#give(order.close, 0, 0) + 1)
      for (const {chunk} of ahead) this.#chunks.release(chunk)
    }
    if (algorithm === undefined) return undefined
    return `${algorithm}:${Buffer.from(this.#note, 0, digestSize(algorithm)).toString('hex')}` as Digest
  }

  close(): Promise<void> {
    return this.#thread.close()
  }

  #resultOf(number: number, stored: StoredBytes, onRead: (bytes: number) => void): number {
    this.#ring.wait(number + 1)
    const result = this.#ring.resultOf(number)
    if (result >= 0) {
      onRead(this.#ring.records.longs[(this.#ring.place(number) >> 1) + longWord.read]!)
      return result
    }
    const note = Buffer.from(this.#note)
    const told = note.toString('utf8', 0, note.indexOf(0))
    if (result === failure.truncated) throw stored.truncated(Number(told))
    throw result === failure.damaged ? damaged('gzip', told) : stored.unreadable(told)
  }

  /** @returns the order's number */
  #give(kind: number, first: number, second: number, stored?: StoredBytes): number {
    const at = this.#ring.next()
    const {words, longs} = this.#ring.records
    words[at + word.kind] = kind
    words[at + word.offset] = first
    words[at + word.length] = second
    longs[(at >> 1) + longWord.position] = stored?.position ?? 0
    longs[(at >> 1) + longWord.size] = stored?.size ?? 0
    this.#ring.give(true)
    return this.#ring.mark() - 1
  }
}
