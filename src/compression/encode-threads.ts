/** Compresses blocks on threads, several at a time. */
import {availableParallelism} from 'node:os'
import type {Worker} from 'node:worker_threads'
import {startThread} from '../thread/worker.ts'
import {type Block, type BlockSource, roomOf} from './blocks.ts'
import {type Choice, traitsOf} from './compressors.ts'
import {type Encode, loadEncoder} from './encoders.ts'

/** More would not be fed fast enough by the thread that reads, and would hold too much memory. */
const maximumThreads = 6

/** Threads that are started with the first block that is worth it. Close it. */
export class EncodeThreads implements BlockSource {
  readonly blockSize: number
  readonly free: SharedArrayBuffer[] = []
  /** Blocks to be under way at a time: one a thread, and two that wait. */
  readonly capacity: number
  readonly #choice: Choice
  readonly #count: number
  #threads: EncodeThread[] | undefined
  #encode: Promise<Encode> | undefined

  constructor(choice: Choice, threads = availableParallelism()) {
    this.#choice = choice
    this.blockSize = traitsOf(choice).blockSize
    this.#count = Math.min(threads, maximumThreads)
    this.capacity = this.#count > 1 ? this.#count + 2 : 1
  }

  /** Compresses a block. @returns the output, in the memory of the block */
  async encode(block: Block): Promise<Buffer> {
    const size = (await this.#leastBusy(block)?.encode(block)) ?? (await this.#encodeHere(block))
    return roomOf(block).subarray(0, size)
  }

  /** The memory of the block belongs to other blocks from now on. */
  release(block: Block): void {
    this.free.push(block.memory)
  }

  /** Ends all threads, after the blocks that they have. */
  async close(): Promise<void> {
    await Promise.all((this.#threads ?? []).map((thread) => thread.close()))
  }

  #leastBusy({dictionarySize, size}: Block): EncodeThread | undefined {
    const isAlone = dictionarySize === 0 && size < this.blockSize
    if (this.#count === 1 || isAlone) return undefined
    this.#threads ??= this.#start()
    return this.#threads.filter(({isEnded}) => !isEnded).toSorted((one, other) => one.open - other.open)[0]
  }

  /** As many threads as the system grants: blocks for which there is none are compressed by whoever asked. */
  #start(): EncodeThread[] {
    const module = new URL('./encode-worker', import.meta.url).href
    const workers = Array.from({length: this.#count}, () => startThread(module, this.#choice))
    return workers.filter((worker) => worker !== undefined).map((worker) => new EncodeThread(worker))
  }

  async #encodeHere(block: Block): Promise<number> {
    this.#encode ??= loadEncoder(this.#choice)
    const encode = await this.#encode
    return encode(block)
  }
}

/** One thread, which holds up the end of the process while it has something to do. */
class EncodeThread {
  isEnded = false
  #isClosing = false
  readonly #worker: Worker
  readonly #ended: Promise<void>
  /** Who waits for its blocks, in order. */
  readonly #waiting: ((size: number | undefined) => void)[] = []

  constructor(worker: Worker) {
    this.#worker = worker
    this.#worker.on('message', (size: number) => {
      this.#waiting.shift()!(size)
      if (this.open === 0 && !this.#isClosing) this.#worker.unref()
    })
    // Nor is a thread lost that ends before its time: its blocks, too, are compressed by whoever asked.
    this.#worker.on('error', () => {})
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#leave()
        resolve()
      })
    })
  }

  /** Blocks that are not done. */
  get open(): number {
    return this.#waiting.length
  }

  /** @returns bytes in its room; undefined where the thread ended before */
  encode(block: Block): Promise<number | undefined> {
    this.#worker.ref()
    this.#worker.postMessage(block)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** It must end by itself: one that is stopped within a library takes the process with it. */
  async close(): Promise<void> {
    this.#isClosing = true
    this.#worker.ref()
    this.#worker.postMessage(undefined)
    await this.#ended
  }

  #leave(): void {
    this.isEnded = true
    for (const resolve of this.#waiting.splice(0)) resolve(undefined)
  }
}
