/** Digests of streams, computed on a thread of their own where there is one: hashing takes as long as everything else together. */
import {type Digest, digestAlgorithms, digestSize, type RunningDigest, startDigest} from '../digest.ts'
import type {Chunks} from '../thread/chunks.ts'
import {Ring} from '../thread/ring.ts'
import {RingThread} from '../thread/worker.ts'
import {digestRoom, hashOrders, order, orderSize, word} from './hash-orders.ts'

/** Starts digests. */
export interface Hasher {
  /** @param size of the stream, bytes; small ones are not worth a thread */
  start(algorithm: string, size: number): RunningDigest
}

/** Computes digests where they are asked for. */
export const inlineHasher: Hasher = {start: startDigest}

/** Streams at a time: the stored bytes of a layer, its tar, and what is made of it. */
const maximumStreams = 3
/** Orders that may be open, a few chunks each of three streams. */
const capacity = 64
/** Orders given before the thread is woken. */
const ordersAtOnce = 4
/** Bytes from where on another thread is faster than the way to it. */
const worthwhile = 128 * 1024

/** Computes digests on another thread, which begins at once. Close it. */
export class HashThread implements Hasher {
  readonly #chunks: Chunks
  readonly #ring: Ring
  readonly #digests = new SharedArrayBuffer(maximumStreams * digestRoom)
  readonly #thread: RingThread
  /** Streams of no digest at work. */
  readonly #free = Array.from({length: maximumStreams}, (_, stream) => stream)

  constructor(chunks: Chunks) {
    this.#chunks = chunks
    this.#ring = new Ring(capacity, orderSize, hashOrders(chunks.memory, this.#digests))
    chunks.addFence(this.#ring)
    this.#thread = new RingThread(new URL('./hash-worker', import.meta.url).href, this.#ring, {
      chunks: chunks.memory,
      digests: this.#digests,
    })
  }

  /** Resolves when it is ready, or never will be. */
  get settled(): Promise<void> {
    return this.#thread.settled
  }

  start(algorithm: string, size: number): RunningDigest {
    const stream = size < worthwhile ? undefined : this.#free.pop()
    if (stream === undefined) return startDigest(algorithm)
    this.#give(order.start, stream, digestAlgorithms.indexOf(algorithm))
    return {
      update: (chunk) => this.#update(stream, chunk),
      digest: () => this.#digest(stream, algorithm),
    }
  }

  close(): Promise<void> {
    return this.#thread.close()
  }

  #update(stream: number, chunk: Buffer): void {
    this.#chunks.share(chunk, (shared) => this.#give(order.update, stream, shared.byteOffset, shared.length))
  }

  #digest(stream: number, algorithm: string): Digest {
    this.#give(order.digest, stream, 0)
    this.#ring.drain()
    this.#free.push(stream)
    const at = stream * digestRoom
    return `${algorithm}:${Buffer.from(this.#digests, at, digestSize(algorithm)).toString('hex')}` as Digest
  }

  #give(kind: number, stream: number, first: number, second = 0): void {
    const at = this.#ring.next()
    const {words} = this.#ring.records
    words[at + word.kind] = kind
    words[at + word.stream] = stream
    words[at + word.offset] = first
    words[at + word.length] = second
    // A chunk alone is hashed sooner than the other thread is woken.
    this.#ring.give(this.#ring.mark() % ordersAtOnce === 0)
  }
}
