/** Writes tar-splits on a thread of its own: whoever makes the files of a layer would have to wait for checksums and compression. */
import type {ByteString} from '../text.ts'
import type {Chunks} from '../thread/chunks.ts'
import {Ring} from '../thread/ring.ts'
import {RingThread} from '../thread/worker.ts'
import type {NewTarSplit} from './tar-split-file.ts'
import {
  failureRoom,
  longWord,
  nameAt,
  nameRoom,
  order,
  orderSize,
  readFailure,
  tarSplitOrders,
  word,
} from './tar-split-orders.ts'

/** Orders that may be open, a power of two: a chunk of the smallest files. */
const capacity = 1024
/** Chunks given before the thread is woken, which costs as much as one of them. */
const chunksAtOnce = 4

/** Begins at once. Close it. */
export class TarSplitThread {
  readonly #chunks: Chunks
  readonly #ring: Ring
  readonly #thread: RingThread
  readonly #onFailure: Ring['onResult']
  #chunksGiven = 0

  /** @param chunks where the layers' tars lie */
  constructor(chunks: Chunks) {
    const failure = new SharedArrayBuffer(failureRoom)
    this.#chunks = chunks
    this.#ring = new Ring(capacity, orderSize, tarSplitOrders(chunks.memory, failure))
    this.#onFailure = (_, size) => {
      throw readFailure(failure, size)
    }
    chunks.addFence(this.#ring)
    const module = new URL('./tar-split-worker', import.meta.url).href
    this.#thread = new RingThread(module, this.#ring, {chunks: chunks.memory, failure})
  }

  /** Resolves when it is ready, or never will be. */
  get settled(): Promise<void> {
    return this.#thread.settled
  }

  /** Begins a layer's, when the one before was abandoned. @param descriptor of an empty file, the caller's */
  start(descriptor: number): NewTarSplit {
    this.#ring.onResult = this.#onFailure
    this.#give(order.start, descriptor)
    return {
      entry: (name, size, position) => this.#giveEntry(name, size, position),
      ended: (position) => this.#giveEnd(position),
      chunk: (bytes) => this.#chunks.share(bytes, (shared) => this.#giveChunk(shared)),
      finish: () => {
        this.#give(order.finish)
        this.#ring.drain()
      },
      abandon: () => {
        this.#ring.onResult = () => {}
        this.#ring.drain()
      },
    }
  }

  /** Ends it, when the last layer's was abandoned. */
  close(): Promise<void> {
    return this.#thread.close()
  }

  #giveEntry(name: ByteString, size: number, position: number): void {
    const last = Math.max(0, Math.ceil(name.length / nameRoom) - 1) * nameRoom
    for (let start = 0; start < last; start += nameRoom) {
      this.#writeName(this.#next(order.name), name.slice(start, start + nameRoom))
      this.#ring.giveQuietly()
    }
    const at = this.#next(order.entry)
    this.#writeName(at, last === 0 ? name : name.slice(last))
    const {longs} = this.#ring.records
    longs[(at >> 1) + longWord.size] = size
    longs[(at >> 1) + longWord.position] = position
    this.#ring.giveQuietly()
  }

  #giveEnd(position: number): void {
    const at = this.#next(order.ended)
    this.#ring.records.longs[(at >> 1) + longWord.position] = position
    this.#ring.giveQuietly()
  }

  #giveChunk({byteOffset, length}: Buffer): void {
    this.#fill(order.chunk, byteOffset, length)
    if (++this.#chunksGiven % chunksAtOnce === 0) this.#ring.give(true)
    else this.#ring.giveQuietly()
  }

  #give(kind: number, first = 0): void {
    this.#fill(kind, first, 0)
    this.#ring.give(true)
  }

  #fill(kind: number, first: number, second: number): void {
    const at = this.#next(kind)
    const {words} = this.#ring.records
    words[at + word.offset] = first
    words[at + word.length] = second
  }

  /** @returns where the record of the next order begins */
  #next(kind: number): number {
    const at = this.#ring.next()
    this.#ring.records.words[at + word.kind] = kind
    return at
  }

  #writeName(at: number, name: ByteString): void {
    const {words, bytes} = this.#ring.records
    words[at + word.nameLength] = bytes.write(name, 4 * at + nameAt, 'latin1')
  }
}
