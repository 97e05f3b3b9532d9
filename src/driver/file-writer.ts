/**
 * Makes and fills files: gives orders for all of it, and learns later what became of them. Whoever does anything else in the
 * same tree says first what it is about, so that it finds there what was ordered before.
 */
import {isImgtoolError} from '../errors.ts'
import {joinPath, splitPath} from '../layer/path.ts'
import type {Entry} from '../layer/tar/entry.ts'
import * as os from '../os/libc.ts'
import type {ByteString} from '../text.ts'
import type {Chunks} from '../thread/chunks.ts'
import {Ring} from '../thread/ring.ts'
import {RingThread} from '../thread/worker.ts'
import type {Place} from './confined-root.ts'
import {createFile, nameAt, nameRoom, orderSize, secondsWord, step, unpackFailure, word} from './file-orders.ts'
import type {Metadata} from './metadata.ts'

/** Orders that may be open, a power of two. */
const capacity = 64
/** Open orders from where on this thread makes files itself: then the other one has enough to do. */
const enough = 32

/** Bytes of a file that take longer to write than to wake the other thread. */
const largeSize = 128 * 1024
/** Files of one directory, fewer than there is room for orders, after which it is asked again who has less to do. */
const longestStretch = 16

/** Another thread that makes files. */
export class FileThread {
  readonly chunks: Chunks
  readonly orders = new Ring(capacity, orderSize)
  readonly #thread: RingThread

  /** Begins at once. Close it. @param chunks where the content comes from */
  constructor(chunks: Chunks) {
    this.chunks = chunks
    chunks.addFence(this.orders)
    this.#thread = new RingThread(new URL('./file-worker', import.meta.url).href, this.orders, {chunks: chunks.memory})
  }

  /** Resolves when it is ready, or never will be. */
  get settled(): Promise<void> {
    return this.#thread.settled
  }

  close(): Promise<void> {
    return this.#thread.close()
  }
}

/** A file that is made. */
interface NewFile {
  readonly place: Place
  readonly name: ByteString
  readonly entry: Entry
}

/** Makes way for a file where something stands in its way. */
export type MakeWay = (place: Place, name: ByteString) => void

export class FileWriter {
  readonly #chunks: Chunks | undefined
  readonly #orders: Ring | undefined
  readonly #metadata: Metadata
  readonly #makeWay: MakeWay
  /** By order, as far as orders are open. */
  readonly #files: NewFile[] = []
  /** The last order about a path, for files that the other thread is to make. */
  readonly #paths = new Map<ByteString, number>()
  /** The last order that uses a directory's descriptor. */
  readonly #uses = new Map<number, number>()
  #open: NewFile | undefined
  /** Of the open file, once this thread has made it. */
  #descriptor: number | undefined
  /** The other thread fills the open file; undefined until that is decided. */
  #isThere: boolean | undefined
  /** The other thread may be given the open file. */
  #isPlain = false
  /** Where the record of an order about it is that was not given yet: more may come to it. */
  #record: number | undefined
  /** Who makes the next files of a directory. */
  #stretch = {descriptor: -1, isThere: false, left: 0}

  /** @param thread makes files, too, when it is ready */
  constructor(thread: FileThread | undefined, metadata: Metadata, makeWay: MakeWay) {
    this.#chunks = thread?.chunks
    this.#orders = thread?.orders
    this.#metadata = metadata
    this.#makeWay = makeWay
    if (this.#orders !== undefined) this.#orders.onResult = (order, failure) => this.#reportEntry(order, failure)
  }

  /**
   * Begins a file; content follows by {@link data}, then {@link end}. It may be made only then.
   *
   * @param isFree nothing that is known to be a directory has its name
   */
  begin(place: Place, name: ByteString, entry: Entry, isFree: boolean): void {
    this.#open = {place, name, entry}
    this.#descriptor = undefined
    this.#isThere = undefined
    const isSimple = entry.xattrs.size === 0 && entry.pieces === undefined
    // Of two orders about one path the second could meet what the first has only tried to make.
    const isNew = !this.#paths.has(joinPath(place.path, name))
    this.#isPlain = isSimple && isFree && isNew && name.length <= nameRoom && this.#orders?.isServed === true
  }

  /** @throws {ImgtoolError} NO_SPACE, SYSTEM_ERROR and what else making files throws: for this file or one before */
  data(bytes: Buffer, position: number): void {
    const file = this.#open!
    this.#isThere ??= this.#isPlain && this.#chunks!.holds(bytes) && this.#isBetterThere(file, bytes.length)
    if (this.#isThere) this.#chunks!.share(bytes, (shared) => this.#writeThere(file, shared))
    else this.#writeHere(file, bytes, position)
  }

  /** Closes the file, with all its attributes. @throws {ImgtoolError} as {@link data} */
  end(): void {
    const file = this.#open!
    this.#isThere ??= this.#isPlain && this.#isBetterThere(file, 0)
    if (this.#isThere) this.#finishThere(file)
    else this.#finishHere(file)
    this.#open = undefined
  }

  /** Waits until a path, and all above it, are what was ordered. */
  settle(path: ByteString): void {
    for (let at = path; this.#paths.size > 0 && at !== ''; at = splitPath(at).directory) {
      const order = this.#paths.get(at)
      if (order === undefined) continue
      this.#paths.delete(at)
      this.#orders!.wait(order + 1)
    }
  }

  /** Waits until a descriptor of a directory is needed no more. */
  settleDescriptor(descriptor: number): void {
    const order = this.#uses.get(descriptor)
    if (order === undefined) return
    this.#uses.delete(descriptor)
    this.#orders!.wait(order + 1)
  }

  /** Waits for all orders. @throws {ImgtoolError} as {@link data} */
  drain(): void {
    this.#orders?.drain()
    this.#paths.clear()
  }

  /** Closes what is open, whatever happened. */
  close(): void {
    if (this.#orders !== undefined) this.#orders.onResult = () => {}
    this.drain()
    if (this.#open !== undefined && this.#descriptor !== undefined) os.close(this.#descriptor)
    this.#open = undefined
  }

  /** Large files leave this thread free to read on. The files of a directory go together: two threads in one wait for each other. */
  #isBetterThere({place, entry}: NewFile, length: number): boolean {
    if (length < entry.size) return true
    if (this.#stretch.descriptor !== place.descriptor || this.#stretch.left-- === 0) {
      const isThere = this.#orders!.countOpen() < enough
      this.#stretch = {descriptor: place.descriptor, isThere, left: longestStretch}
    }
    return this.#stretch.isThere
  }

  #writeHere(file: NewFile, bytes: Buffer, position: number): void {
    this.#descriptor ??= this.#create(file)
    const {entry} = file
    os.check(os.write(this.#descriptor, bytes, entry.pieces === undefined ? undefined : position), 'write', entry.path)
  }

  #finishHere(file: NewFile): void {
    this.#descriptor ??= this.#create(file)
    const {entry} = file
    if (entry.pieces !== undefined) os.check(os.truncate(this.#descriptor, entry.size), 'write', entry.path)
    this.#metadata.finishFile(this.#descriptor, entry)
    os.close(this.#descriptor)
  }

  /** Makes a file now, in place of what may be there. */
  #create({place, name, entry}: NewFile): number {
    this.settle(joinPath(place.path, name))
    let descriptor = createFile(place.descriptor, name, entry.mode)
    if (descriptor === os.EMFILE || descriptor === os.EEXIST) {
      this.drain()
      if (descriptor === os.EEXIST) this.#makeWay(place, name)
      descriptor = createFile(place.descriptor, name, entry.mode)
    }
    return os.check(descriptor, 'make', entry.path)
  }

  #writeThere(file: NewFile, shared: Buffer): void {
    if (shared.length < file.entry.size) this.#descriptor ??= this.#create(file)
    this.#startOrder(file)
    this.#add(step.write)
    this.#set(word.offset, shared.byteOffset)
    this.#set(word.length, shared.length)
    // A chunk that is used again must not wait for an order that was not given.
    if (shared.length < file.entry.size) this.#give(true)
  }

  #finishThere(file: NewFile): void {
    const {entry} = file
    if (this.#record === undefined) this.#startOrder(file)
    if (this.#metadata.needsOwner(entry)) this.#add(step.own)
    if (this.#metadata.needsMode(entry)) this.#add(step.changeMode)
    this.#add(step.changeTime | step.close)
    this.#set(word.uid, entry.uid)
    this.#set(word.gid, entry.gid)
    this.#set(word.mode, this.#metadata.modeOf(entry))
    this.#set(word.nanoseconds, entry.mtime.nanoseconds)
    this.#orders!.records.longs[(this.#record! >> 1) + secondsWord] = entry.mtime.seconds
    this.#give(entry.size > largeSize)
  }

  /** Begins an order about a file: to make it, or about the one that was made here. */
  #startOrder(file: NewFile): void {
    const orders = this.#orders!
    this.#record = orders.next()
    this.#files[orders.mark() % capacity] = file
    this.#set(word.steps, 0)
    if (this.#descriptor === undefined) this.#orderCreation(orders.mark(), file)
    else this.#set(word.descriptor, this.#descriptor)
  }

  #orderCreation(order: number, {place, name}: NewFile): void {
    this.#add(step.create)
    this.#set(word.descriptor, place.descriptor)
    const start = 4 * this.#record! + nameAt
    this.#set(word.nameLength, this.#orders!.records.bytes.write(name, start, nameRoom, 'latin1'))
    this.#uses.set(place.descriptor, order)
    if (this.#paths.size > capacity) this.#forgetCollected()
    this.#paths.set(joinPath(place.path, name), order)
  }

  #forgetCollected(): void {
    for (const [path, order] of this.#paths) if (this.#orders!.isCollected(order)) this.#paths.delete(path)
  }

  #give(isLarge: boolean): void {
    this.#record = undefined
    this.#orders!.give(isLarge)
  }

  #add(steps: number): void {
    this.#orders!.records.words[this.#record! + word.steps]! |= steps
  }

  #set(index: number, value: number): void {
    this.#orders!.records.words[this.#record! + index] = value
  }

  /** The entry at work is another one by now. */
  #reportEntry(order: number, failure: number): void {
    try {
      this.#report(order, failure)
    } catch (error) {
      throw isImgtoolError(error) ? error.within({entry: this.#files[order % capacity]!.entry.path}) : error
    }
  }

  #report(order: number, failure: number): void {
    const file = this.#files[order % capacity]!
    const {failed, result} = unpackFailure(failure)
    if (failed === step.create) this.#makeUp(order, file, result)
    else if (failed === step.own) this.#metadata.explainOwner(result, file.entry)
    else os.check(result, failed === step.write ? 'write' : 'set the mode or time of', file.entry.path)
  }

  /** Makes here what could not be made there: only here it is known what may be removed. */
  #makeUp(order: number, {place, name, entry}: NewFile, result: number): void {
    if (result === os.EEXIST) this.#makeWay(place, name)
    else if (result !== os.EMFILE) os.check(result, 'make', entry.path)
    const descriptor = os.check(createFile(place.descriptor, name, entry.mode), 'make', entry.path)
    try {
      const {words} = this.#orders!.records
      const at = this.#orders!.place(order)
      const offset = words[at + word.offset]!
      const bytes = Buffer.from(this.#chunks!.memory, offset, entry.size)
      os.check(os.write(descriptor, bytes), 'write', entry.path)
      this.#metadata.finishFile(descriptor, entry)
    } finally {
      os.close(descriptor)
    }
  }
}
