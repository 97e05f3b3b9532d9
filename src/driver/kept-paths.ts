/**
 * What one layer has added so far: whiteouts of that layer must leave it alone, wherever in the tar they stand.
 *
 * @see OCI image-spec layer.md: "Whiteout files MUST only apply to resources in lower/parent layers"
 */
import type {ByteString} from '../text.ts'
import {PathTree} from './path-tree.ts'

/** Paths are those after symlinks. Memory: about 150 bytes a name. */
export class KeptPaths {
  /** True where the layer made or described the path itself; a node without is only there for something below. */
  readonly #paths = new PathTree<true>()

  add(path: ByteString): void {
    this.#paths.make(path).value = true
  }

  /** The layer added the path or something below it. */
  has(path: ByteString): boolean {
    return this.#paths.find(path) !== undefined
  }

  /** The layer made or described the path itself, and not only something below. */
  hasItself(path: ByteString): boolean {
    return this.#paths.find(path)?.value === true
  }
}
