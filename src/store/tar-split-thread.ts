/** Writes tar-splits on a thread of its own: their checksums and headers take half as long as everything else together. */
import type {Limits} from '../limits.ts'
import type {Chunks} from '../thread/chunks.ts'
import {Ring} from '../thread/ring.ts'
import {RingThread} from '../thread/worker.ts'
import type {NewTarSplit} from './tar-split-file.ts'
import {failureRoom, order, orderSize, readFailure, tarSplitOrders, word} from './tar-split-orders.ts'

/** Orders that may be open, a power of two: a few chunks. */
const capacity = 32

/** Begins at once. Close it. */
export class TarSplitThread {
  readonly #chunks: Chunks
  readonly #ring: Ring
  readonly #thread: RingThread
  readonly #onFailure: Ring['onResult']

  /** @param chunks where the layers' tars lie */
  constructor(chunks: Chunks, limits: Limits) {
    const failure = new SharedArrayBuffer(failureRoom)
    this.#chunks = chunks
    this.#ring = new Ring(capacity, orderSize, tarSplitOrders(chunks.memory, failure, limits))
    this.#onFailure = (_, size) => {
      throw readFailure(failure, size)
    }
    chunks.addFence(this.#ring)
    const module = new URL('./tar-split-worker', import.meta.url).href
    this.#thread = new RingThread(module, this.#ring, {chunks: chunks.memory, failure, limits})
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
      update: (chunk) =>
        this.#chunks.share(chunk, (shared) => this.#give(order.update, shared.byteOffset, shared.length)),
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

  #give(kind: number, first = 0, second = 0): void {
    const at = this.#ring.next()
    const {words} = this.#ring.records
    words[at + word.kind] = kind
    words[at + word.offset] = first
    words[at + word.length] = second
    this.#ring.give(true)
  }
}
