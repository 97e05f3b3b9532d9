/**
 * Names in directories, for trees of millions of them: in a few typed arrays, because objects would cost several hundred bytes
 * a name. A name is known by its number; numbers are given in order and never again.
 */
import {randomInt} from 'node:crypto'
import {ImgtoolError} from '../errors.ts'
import type {ByteString} from '../text.ts'
import {Numbers} from './numbers.ts'

/** No name. */
export const none = -1
/** Slot of the table whose name is gone; another may lie behind it. */
const gone = -2

/** Part of the table that may be taken. */
const maximumLoad = 0.75

/** Bytes of a page of names. */
const pageSize = 1 << 18
const noBytes = Buffer.alloc(0)

export class NameTree {
  /** The name that all others are below. */
  static readonly root = 0
  readonly #parents = new Numbers()
  /** A directory's names, the last one first. */
  readonly #children = new Numbers()
  readonly #next = new Numbers()
  readonly #previous = new Numbers()
  /** Where each name's bytes are: on which page and where on it, and how many. */
  readonly #starts = new Numbers()
  readonly #lengths = new Numbers()
  /** Of one size; that of a longer name stands as often as it has the size of others. */
  readonly #pages: Buffer[] = []
  #end = 0
  /** Names by hash of directory and name; an archive cannot know which ones collide. */
  #table = new Int32Array(2048).fill(none)
  /** Slots that are not free. */
  #taken = 0
  readonly #seed = randomInt(2 ** 32)

  constructor() {
    this.#append(none, '')
  }

  /** How many numbers were given. */
  get count(): number {
    return this.#parents.length
  }

  /** @returns the number of a name, or {@link none} */
  find(directory: number, name: ByteString): number {
    for (let slot = this.#slotOf(directory, name); ; slot = (slot + 1) % this.#table.length) {
      const found = this.#table[slot]!
      if (found === none || (found !== gone && this.#is(found, directory, name))) return found
    }
  }

  /** Adds a name that is not there yet. */
  add(directory: number, name: ByteString): number {
    const added = this.#append(directory, name)
    const next = this.#children.get(directory)
    this.#next.set(added, next)
    if (next !== none) this.#previous.set(next, added)
    this.#children.set(directory, added)
    if (this.#store(added) && ++this.#taken > this.#table.length * maximumLoad) this.#rehash()
    return added
  }

  /** Removes a name, and all that is below it. @param onRemoved is called with each of them */
  remove(name: number, onRemoved: (name: number) => void): void {
    const [next, previous] = [this.#next.get(name), this.#previous.get(name)]
    if (next !== none) this.#previous.set(next, previous)
    if (previous === none) this.#children.set(this.#parents.get(name), next)
    else this.#next.set(previous, next)
    const left = [name]
    for (let at = left.pop(); at !== undefined; at = left.pop()) {
      // One by one: a directory may have more names than a call takes arguments.
      for (const child of this.children(at)) left.push(child)
      this.#table[this.#slotHolding(at)] = gone
      onRemoved(at)
    }
  }

  /** The names in a directory, in no particular order. */
  children(directory: number): number[] {
    const names: number[] = []
    for (let at = this.#children.get(directory); at !== none; at = this.#next.get(at)) names.push(at)
    return names
  }

  /** The names in a directory, by bytes. */
  sorted(directory: number): number[] {
    return this.children(directory).sort((a, b) => this.#compare(a, b))
  }

  /** The directory of a name, {@link none} for the root. */
  parent(name: number): number {
    return this.#parents.get(name)
  }

  /** The last component of a name's path. */
  text(name: number): ByteString {
    const start = this.#starts.get(name)
    const at = start % pageSize
    return this.#page(start).toString('latin1', at, at + this.#lengths.get(name))
  }

  path(name: number): ByteString {
    const parts: ByteString[] = []
    for (let at = name; at !== NameTree.root; at = this.#parents.get(at)) parts.push(this.text(at))
    return parts.reverse().join('/')
  }

  #append(directory: number, text: ByteString): number {
    const start = this.#place(text.length)
    this.#page(start).write(text, start % pageSize, 'latin1')
    this.#starts.push(start)
    this.#lengths.push(text.length)
    this.#parents.push(directory)
    for (const links of [this.#children, this.#next, this.#previous]) links.push(none)
    return this.#parents.length - 1
  }

  /** Finds room for so many bytes on one page; a name that is longer than one has its own. */
  #place(length: number): number {
    const free = this.#pages.length * pageSize
    if (length <= free - this.#end) return this.#advance(this.#end, length)
    const count = Math.ceil(length / pageSize)
    const page = Buffer.allocUnsafeSlow(count * pageSize)
    for (let left = count; left > 0; left--) this.#pages.push(page)
    return this.#advance(free, count === 1 ? length : page.length)
  }

  #advance(start: number, length: number): number {
    this.#end = start + length
    if (this.#end > 0x7fff_ffff) throw new ImgtoolError('LIMIT_EXCEEDED', 'The names of the image have more than 2 GiB')
    return start
  }

  #page(start: number): Buffer {
    return this.#pages[Math.floor(start / pageSize)] ?? noBytes
  }

  #is(name: number, directory: number, text: ByteString): boolean {
    if (this.#parents.get(name) !== directory) return false
    if (this.#lengths.get(name) !== text.length) return false
    const start = this.#starts.get(name)
    const page = this.#page(start)
    for (let at = 0; at < text.length; at++) if (page[(start % pageSize) + at] !== text.charCodeAt(at)) return false
    return true
  }

  #compare(a: number, b: number): number {
    const [startA, startB] = [this.#starts.get(a), this.#starts.get(b)]
    const [pageA, pageB] = [this.#page(startA), this.#page(startB)]
    const length = Math.min(this.#lengths.get(a), this.#lengths.get(b))
    for (let at = 0; at < length; at++) {
      const difference = pageA[(startA % pageSize) + at]! - pageB[(startB % pageSize) + at]!
      if (difference !== 0) return difference
    }
    return this.#lengths.get(a) - this.#lengths.get(b)
  }

  /** Where the search for a name begins. @see http://www.isthe.com/chongo/tech/comp/fnv/, FNV-1a, with a secret start */
  #slotOf(directory: number, name: ByteString): number {
    let hash = Math.imul(this.#seed ^ directory, 0x0100_0193)
    for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x0100_0193)
    hash ^= hash >>> 15
    return (hash >>> 0) % this.#table.length
  }

  #slotHolding(name: number): number {
    let slot = this.#slotOf(this.#parents.get(name), this.text(name))
    while (this.#table[slot] !== name) slot = (slot + 1) % this.#table.length
    return slot
  }

  /**
   * Takes the slot of a name that is gone where it can: one that comes again and again must not leave a trail.
   *
   * @returns whether it took a free one
   */
  #store(name: number): boolean {
    let slot = this.#slotOf(this.#parents.get(name), this.text(name))
    while (this.#table[slot]! >= 0) slot = (slot + 1) % this.#table.length
    const isFree = this.#table[slot] === none
    this.#table[slot] = name
    return isFree
  }

  /** Makes room, and forgets what is gone. */
  #rehash(): void {
    const names = this.#table.filter((name) => name >= 0)
    const capacity = names.length * 2 > this.#table.length * maximumLoad ? this.#table.length * 2 : this.#table.length
    this.#table = new Int32Array(capacity).fill(none)
    this.#taken = names.length
    for (const name of names) this.#store(name)
  }
}
