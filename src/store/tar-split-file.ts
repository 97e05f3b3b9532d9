/** Writes the tar-split of a layer to its file while the layer is read. */
import {fsyncSync} from 'node:fs'
import type {TarWatcher} from '../layer/tar/parser.ts'
import * as os from '../os/libc.ts'
import type {ByteString} from '../text.ts'
import {GzipPieces, loadEncoder} from './gzip-pieces.ts'
import {TarSplitWriter} from './tar-split-writer.ts'

/**
 * A tar-split that is being written.
 *
 * @throws {ImgtoolError} from any call, for this one or one before: ENTRY_INVALID for a name that the layer has twice, NO_SPACE
 */
export interface NewTarSplit extends TarWatcher {
  /** Ends the tar: the file is complete, and on the disk. */
  finish(): void
  /** Lets go of the file, complete or not: it may be closed. */
  abandon(): void
}

export class TarSplitFile implements NewTarSplit {
  readonly #descriptor: number
  readonly #gzip: GzipPieces
  readonly #split: TarSplitWriter

  /** @param descriptor of an empty file, the caller's */
  constructor(descriptor: number) {
    this.#descriptor = descriptor
    const write = (bytes: Buffer) => void os.check(os.write(descriptor, bytes), 'write the tar-split of the layer')
    this.#gzip = new GzipPieces(write, loadEncoder())
    this.#split = new TarSplitWriter((json) => this.#gzip.update(json))
  }

  entry(name: ByteString, size: number, position: number): void {
    this.#split.entry(name, size, position)
  }

  ended(position: number): void {
    this.#split.ended(position)
  }

  chunk(bytes: Buffer): void {
    this.#split.chunk(bytes)
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
