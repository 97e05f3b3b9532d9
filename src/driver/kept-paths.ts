/**
 * What one layer has added so far: whiteouts of that layer must leave it alone, wherever in the tar they stand.
 *
 * @see OCI image-spec layer.md: "Whiteout files MUST only apply to resources in lower/parent layers"
 */
import {splitPath} from '../layer/path.ts'
import type {ByteString} from '../text.ts'

/** Paths are those after symlinks. About 100 bytes of memory a path. */
export class KeptPaths {
  /** Whether the layer has an entry for the path itself, or only for something below. */
  readonly #paths = new Map<ByteString, boolean>()

  add(path: ByteString): void {
    this.#paths.set(path, true)
    this.addImplied(splitPath(path).directory)
  }

  /** For a directory that the layer needs, but does not describe. */
  addImplied(path: ByteString): void {
    for (let directory = path; directory !== '' && !this.#paths.has(directory); {directory} = splitPath(directory))
      this.#paths.set(directory, false)
  }

  /** The layer added the path or something below it. */
  has(path: ByteString): boolean {
    return this.#paths.has(path)
  }

  /** The layer has an entry of its own for the path. */
  hasEntry(path: ByteString): boolean {
    return this.#paths.get(path) === true
  }
}
