/**
 * What one layer has added so far: whiteouts of that layer must leave it alone, wherever in the tar they stand.
 *
 * @see OCI image-spec layer.md: "Whiteout files MUST only apply to resources in lower/parent layers"
 */
import {NameTree, none} from '../layer/name-tree.ts'
import {Numbers} from '../layer/numbers.ts'
import {splitPath} from '../layer/path.ts'
import type {ByteString} from '../text.ts'

/** Paths are those after symlinks. Memory: about 45 bytes a name, and the name. */
export class KeptPaths {
  readonly #names = new NameTree()
  /** By name: 1 where the layer made or described the path itself; another is only there for something below. */
  readonly #own = new Numbers()
  /** What was added last, and its directory: paths come in runs of one directory, or each below the one before. */
  #recent: readonly {readonly path: ByteString; readonly name: number}[] = []

  constructor() {
    this.#own.push(0)
  }

  add(path: ByteString): void {
    const {directory, name} = splitPath(path)
    const parent = this.#recent.find((one) => one.path === directory)?.name ?? this.#makeAll(directory)
    const added = path === '' ? NameTree.root : this.#make(parent, name)
    this.#own.set(added, 1)
    this.#recent = [
      {path: directory, name: parent},
      {path, name: added},
    ]
  }

  /** The layer added the path or something below it. */
  has(path: ByteString): boolean {
    return this.#find(path) !== none
  }

  /** The layer made or described the path itself, and not only something below. */
  hasItself(path: ByteString): boolean {
    const name = this.#find(path)
    return name !== none && this.#own.get(name) === 1
  }

  #find(path: ByteString): number {
    let at: number = NameTree.root
    for (const name of components(path)) {
      at = this.#names.find(at, name)
      if (at === none) break
    }
    return at
  }

  #makeAll(path: ByteString): number {
    return components(path).reduce((at: number, name) => this.#make(at, name), NameTree.root)
  }

  #make(directory: number, name: ByteString): number {
    const found = this.#names.find(directory, name)
    if (found !== none) return found
    this.#own.push(0)
    return this.#names.add(directory, name)
  }
}

function components(path: ByteString): readonly ByteString[] {
  return path === '' ? [] : path.split('/')
}
