/**
 * Orders from one thread to another: records of numbers in shared memory, carried out in the order they were given.
 *
 * Nobody is told of each order, and nobody returns to an event loop: a layer has a million entries, and messages of worker
 * threads cost more than the system calls that they would ask for.
 */
import {existsSync, readlinkSync} from 'node:fs'
import {basename} from 'node:path'
import {parentPort} from 'node:worker_threads'
import type {Fence} from './chunks.ts'

/** The numbers of all records: the same memory as numbers of 32 bits, of 64, and as bytes. */
export interface Records {
  readonly words: Int32Array
  readonly longs: Float64Array
  readonly bytes: Buffer
}

/**
 * Carries out one order; it must not throw.
 *
 * @param at where its record begins in the words; in the longs at half of that, in the bytes at four times that
 * @returns what the other side is told; 0 is success
 */
export type Run = (records: Records, at: number) => number

/** The first words of every record are the ring's own; what is behind them belongs to the order. */
const resultWord = 0
const endWord = 1
export const firstWord = 2

/** Words before the records. */
const written = 0
const done = 1
const awaited = 2
const ready = 3
const recordSize = 4
/** The system's number of the serving thread; 0 where it is not known. */
const threadID = 5
const controlWords = 16

/** Small orders given before a sleeping thread is woken: waking costs as much as one of them. */
const batch = 16
const endedEarly = 'a thread has ended before its work'
/** What the word `ready` says. */
const [unserved, served, abandoned, broken] = [0, 1, 2, 3]
/** Milliseconds after which a thread that does not begin is given up, and it is looked whether one that has begun still is. */
const patience = 2000

/** The side that gives orders. */
export class Ring implements Fence {
  /** For {@link serve}. */
  readonly memory: SharedArrayBuffer
  readonly records: Records
  /** Is told of results other than 0, in order; it may throw. */
  onResult: (order: number, result: number) => void = () => {}
  readonly #control: Int32Array
  readonly #capacity: number
  readonly #size: number
  #written = 0
  #done = 0
  #collected = 0
  #unannounced = 0
  #served = false
  readonly #run: Run | undefined

  /**
   * @param capacity orders that may be open at a time, a power of two
   * @param size words of one record, even
   * @param run carries orders out here if no thread ever does; without it none may be given before one does
   */
  constructor(capacity: number, size: number, run?: Run) {
    this.#run = run
    this.memory = new SharedArrayBuffer(4 * (controlWords + capacity * size))
    this.#control = new Int32Array(this.memory, 0, controlWords)
    this.#control[recordSize] = size
    this.records = recordsOf(this.memory)
    this.#capacity = capacity
    this.#size = size
  }

  /** Whether another thread carries orders out. Once true, it stays so. */
  get isServed(): boolean {
    this.#served ||= Atomics.load(this.#control, ready) === served
    return this.#served
  }

  /** How many orders have been given. */
  mark(): number {
    return this.#written
  }

  /** How many of them are not known to be done. */
  countOpen(): number {
    this.#done = this.#written + ((Atomics.load(this.#control, done) - this.#written) | 0)
    return this.#written - this.#done
  }

  /** Whether an order is done, and {@link onResult} was told of its result. */
  isCollected(order: number): boolean {
    return order < this.#collected
  }

  /** Waits for room for the next order. @returns where in {@link records} its record begins; what is there is of old */
  next(): number {
    if (this.#written - this.#collected >= this.#capacity) {
      // Some orders at once: to be woken for each would cost more.
      if (this.countOpen() > this.#capacity - batch) this.wait(this.#written - (this.#capacity >> 1))
      else this.#collect()
    }
    const at = this.place(this.#written)
    this.records.words[at + endWord] = 0
    return at
  }

  /**
   * Gives the order that was written to the record of {@link next}.
   *
   * @param isLarge it is worth waking the other thread for
   */
  give(isLarge: boolean): void {
    this.giveQuietly()
    if (isLarge || ++this.#unannounced >= batch) this.#announce()
  }

  /** As {@link give}, without waking the other thread: of an order that others will follow. */
  giveQuietly(): void {
    Atomics.store(this.#control, written, ++this.#written | 0)
  }

  /** What became of an order that is done, if its record was not used again since. */
  resultOf(order: number): number {
    return this.records.words[this.place(order) + resultWord]!
  }

  /** Where the record of an order is. */
  place(order: number): number {
    return (order & (this.#capacity - 1)) * this.#size
  }

  /** Waits until so many of all orders ever given are carried out. */
  wait(count: number): void {
    if (this.#written - this.countOpen() < count) {
      this.#announce()
      if (this.isServed || this.#isBegun()) while (this.#written - this.countOpen() < count) this.#sleep(count)
      else this.#catchUp()
    }
    this.#collect()
  }

  /** Waits until everything is carried out. */
  drain(): void {
    this.wait(this.#written)
  }

  /** Lets the serving thread end, after all orders; none may be given any more. */
  end(): void {
    const at = this.next()
    this.records.words[at + endWord] = 1
    this.giveQuietly()
    this.#announce()
  }

  /** Gives the thread time to begin; after that it may not any more. One that broke down has begun, too. */
  #isBegun(): boolean {
    Atomics.wait(this.#control, ready, unserved, patience)
    const found = Atomics.compareExchange(this.#control, ready, unserved, abandoned)
    return found === served || found === broken
  }

  #catchUp(): void {
    for (let order = this.#written - this.countOpen(); order < this.#written; order++) {
      const at = this.place(order)
      this.records.words[at + resultWord] = this.#run!(this.records, at)
      Atomics.store(this.#control, done, (order + 1) | 0)
    }
    this.countOpen()
  }

  /** For who could have no thread: nobody waits for it. */
  abandon(): void {
    Atomics.compareExchange(this.#control, ready, unserved, abandoned)
  }

  /** Not for ever: a thread may break between the look at it and the sleep, and one that is out of memory wakes nobody. */
  #sleep(count: number): void {
    if (Atomics.load(this.#control, ready) === broken) throw new Error(endedEarly)
    Atomics.store(this.#control, awaited, count | 0)
    const seen = Atomics.load(this.#control, done)
    if (((seen - count) | 0) >= 0) return
    const outcome = Atomics.wait(this.#control, done, seen, patience)
    if (outcome === 'timed-out' && !isAlive(this.#control[threadID]!)) throw new Error(endedEarly)
  }

  #announce(): void {
    this.#unannounced = 0
    Atomics.notify(this.#control, written)
  }

  #collect(): void {
    while (this.#collected < this.#done) {
      const order = this.#collected++
      const result = this.resultOf(order)
      if (result !== 0) this.onResult(order, result)
    }
  }
}

/** The side that carries orders out. Returns when the other side has ended the ring. */
export function serve(memory: SharedArrayBuffer, run: Run): void {
  const control = new Int32Array(memory, 0, controlWords)
  const records = recordsOf(memory)
  const size = control[recordSize]!
  control[threadID] = ownThreadID()
  if (Atomics.compareExchange(control, ready, unserved, served) !== unserved) return
  Atomics.notify(control, ready)
  parentPort?.postMessage('ready')
  try {
    carryOut(control, records, size, run)
  } catch (error) {
    // Whoever waits must not wait for ever.
    Atomics.store(control, ready, broken)
    Atomics.notify(control, done)
    throw error
  }
}

function carryOut(control: Int32Array, records: Records, size: number, run: Run): void {
  const {words} = records
  const mask = words.length / size - 1
  for (;;) {
    const count = Atomics.load(control, written)
    let finished = Atomics.load(control, done)
    if (((count - finished) | 0) <= 0) {
      Atomics.wait(control, written, count)
      continue
    }
    while (((count - finished) | 0) > 0) {
      const at = (finished & mask) * size
      if (words[at + endWord] === 1) return
      words[at + resultWord] = run(records, at)
      finished = (finished + 1) | 0
      Atomics.store(control, done, finished)
      if (finished === Atomics.load(control, awaited)) Atomics.notify(control, done)
    }
  }
}

/** @see proc(5), /proc/thread-self; 0 where the system has no such file */
function ownThreadID(): number {
  try {
    return Number(basename(readlinkSync('/proc/thread-self')))
  } catch {
    return 0
  }
}

/** What is not known is taken for alive. */
function isAlive(thread: number): boolean {
  return thread === 0 || existsSync(`/proc/self/task/${thread}`)
}

function recordsOf(memory: SharedArrayBuffer): Records {
  const start = 4 * controlWords
  return {
    words: new Int32Array(memory, start),
    longs: new Float64Array(memory, start),
    bytes: Buffer.from(memory, start),
  }
}
