/** What entries say of their files, in records of 32 bytes: as objects, each would take several hundred. */
import type {ByteString} from '../text.ts'
import {Numbers} from './numbers.ts'
import type {Entry, EntryKind} from './tar/entry.ts'

/** What only few files have. */
type Extra = Pick<Entry, 'link' | 'deviceMajor' | 'deviceMinor' | 'xattrs'>

/** Where in a record each number is; sizes and seconds have two, the lower half first. */
const place = {kindAndMode: 0, uid: 1, gid: 2, nanoseconds: 3, size: 4, seconds: 6}
const recordLength = 8

const kinds: readonly EntryKind[] = ['file', 'directory', 'symlink', 'hardlink', 'character', 'block', 'fifo']
/** Modes have twelve bits. */
const kindShift = 12
const noExtra: Extra = {link: '', deviceMajor: 0, deviceMinor: 0, xattrs: new Map()}

/** Entries without their paths and sparse maps, by number, from 0. */
export class FileTable {
  readonly #numbers = new Numbers()
  readonly #extras = new Map<number, Extra>()

  /** @returns the entry's number */
  add(entry: Entry): number {
    const added = this.#numbers.length / recordLength
    this.#numbers.push((kinds.indexOf(entry.kind) << kindShift) | entry.mode)
    for (const number of [entry.uid, entry.gid, entry.mtime.nanoseconds]) this.#numbers.push(number)
    for (const number of [entry.size, entry.mtime.seconds]) {
      this.#numbers.push(number)
      this.#numbers.push(Math.floor(number / 2 ** 32))
    }
    const {kind, link, deviceMajor, deviceMinor, xattrs} = entry
    const isDevice = kind === 'character' || kind === 'block'
    if (link !== '' || isDevice || xattrs.size > 0) this.#extras.set(added, {link, deviceMajor, deviceMinor, xattrs})
    return added
  }

  /** Forgets what is large of an entry that nobody reads any more. */
  drop(number: number): void {
    this.#extras.delete(number)
  }

  kind(number: number): EntryKind {
    return kinds[this.#word(number, place.kindAndMode) >>> kindShift]!
  }

  /** A link's target; empty for what is none. */
  link(number: number): ByteString {
    return this.#extras.get(number)?.link ?? ''
  }

  /** @returns the entry with an empty path */
  read(number: number): Entry {
    return {
      path: '',
      kind: this.kind(number),
      mode: this.#word(number, place.kindAndMode) & ((1 << kindShift) - 1),
      uid: this.#word(number, place.uid),
      gid: this.#word(number, place.gid),
      mtime: {seconds: this.#long(number, place.seconds), nanoseconds: this.#word(number, place.nanoseconds)},
      size: this.#long(number, place.size),
      ...(this.#extras.get(number) ?? noExtra),
    }
  }

  /** Numbers are kept as signed ones. */
  #word(number: number, at: number): number {
    return this.#numbers.get(number * recordLength + at) >>> 0
  }

  #long(number: number, at: number): number {
    return this.#numbers.get(number * recordLength + at + 1) * 2 ** 32 + this.#word(number, at)
  }
}
