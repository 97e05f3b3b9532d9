/** Numbers for paths, as {@link NameTree} has them for names: a few hostile entries with thousands of levels do not fill the memory. */
import {NameTree, none} from '../layer/name-tree.ts'
import {components, splitPath} from '../layer/path.ts'
import type {ByteString} from '../text.ts'

/** Paths with all that is above them; the empty one is there from the beginning. Memory: about 40 bytes a name, and the name. */
export class PathTree {
  readonly #names = new NameTree()
  /** What was asked for last, and its directory: paths come in runs of one directory, or each below the one before. */
  #recent: readonly {readonly path: ByteString; readonly number: number}[] = []

  /** How many numbers were given, in order. */
  get count(): number {
    return this.#names.count
  }

  /** @returns the number of a path, or {@link none} */
  find(path: ByteString): number {
    return this.#reach(path, false)
  }

  /** The number of a path, made with all that is above it where it is not there. */
  make(path: ByteString): number {
    return this.#reach(path, true)
  }

  /** What is in a directory, in no particular order. */
  children(directory: number): number[] {
    return this.#names.children(directory)
  }

  /** The last component of a path. */
  name(number: number): ByteString {
    return this.#names.text(number)
  }

  path(number: number): ByteString {
    return this.#names.path(number)
  }

  /** Removes all that is in a directory. @returns the numbers of that, each before its directory's */
  removeBelow(directory: number): number[] {
    const removed: number[] = []
    for (const child of this.#names.children(directory)) this.#names.remove(child, (each) => removed.push(each))
    this.#recent = []
    return removed.reverse()
  }

  #reach(path: ByteString, makes: boolean): number {
    if (path === '') return NameTree.root
    const {directory, name} = splitPath(path)
    const parent = this.#recent.find((one) => one.path === directory)?.number ?? this.#reachAll(directory, makes)
    const number = parent === none ? none : this.#step(parent, name, makes)
    if (number === none) return none
    this.#recent = [
      {path: directory, number: parent},
      {path, number},
    ]
    return number
  }

  #reachAll(path: ByteString, makes: boolean): number {
    let at: number = NameTree.root
    for (const name of components(path)) {
      at = this.#step(at, name, makes)
      if (at === none) break
    }
    return at
  }

  #step(directory: number, name: ByteString, makes: boolean): number {
    const found = this.#names.find(directory, name)
    return found === none && makes ? this.#names.add(directory, name) : found
  }
}
