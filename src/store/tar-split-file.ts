/** Writes the tar-split of a layer to its file while the layer is read. */
import {fsyncSync} from 'node:fs'
import type {Limits} from '../limits.ts'
import * as os from '../os/libc.ts'
import {GzipPieces} from './gzip-pieces.ts'
import {TarSplitWriter} from './tar-split-writer.ts'

/** A tar-split that is being written. */
export interface NewTarSplit {
  /**
   * Takes the next bytes of the tar.
   *
   * @throws {ImgtoolError} TAR_INVALID and its siblings, ENTRY_INVALID for a name that the layer has twice, NO_SPACE: for these
   *   bytes or some before
   */
  update(chunk: Buffer): void
  /** Ends the tar: the file is complete, and on the disk. @throws {ImgtoolError} as {@link update} */
  finish(): void
  /** Lets go of the file, complete or not: it may be closed. */
  abandon(): void
}

export class TarSplitFile implements NewTarSplit {
  readonly #descriptor: number
  readonly #gzip: GzipPieces
  readonly #split: TarSplitWriter

  /** @param descriptor of an empty file, the caller's */
  constructor(descriptor: number, limits: Limits) {
    this.#descriptor = descriptor
    this.#gzip = new GzipPieces((bytes) => os.check(os.write(descriptor, bytes), 'write the tar-split of the layer'))
    this.#split = new TarSplitWriter(limits, (json) => this.#gzip.update(json))
  }

  update(chunk: Buffer): void {
    this.#split.update(chunk)
  }

  finish(): void {
    this.#split.finish()
    this.#gzip.finish()
    fsyncSync(this.#descriptor)
  }

  abandon(): void {
    // Nothing is under way.
  }
}
