/**
 * What one layer has added so far: whiteouts of that layer must leave it alone, wherever in the tar they stand.
 *
 * @see OCI image-spec layer.md: "Whiteout files MUST only apply to resources in lower/parent layers"
 */
import {none} from '../layer/name-tree.ts'
import {Numbers} from '../layer/numbers.ts'
import type {ByteString} from '../text.ts'
import {PathTree} from './path-tree.ts'

/** Paths are those after symlinks. Memory: about 45 bytes a name, and the name. */
export class KeptPaths {
  readonly #paths = new PathTree()
  /** By path: 1 where the layer made or described it itself; another is only there for something below. */
  readonly #own = new Numbers()

  add(path: ByteString): void {
    const added = this.#paths.make(path)
    while (this.#own.length < this.#paths.count) this.#own.push(0)
    this.#own.set(added, 1)
  }

  /** The layer added the path or something below it. */
  has(path: ByteString): boolean {
    return this.#paths.find(path) !== none
  }

  /** The layer made or described the path itself, and not only something below. */
  hasItself(path: ByteString): boolean {
    const found = this.#paths.find(path)
    return found !== none && found < this.#own.length && this.#own.get(found) === 1
  }
}
