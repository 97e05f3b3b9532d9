/** Writes the tar-split of a layer to its file while the layer is read. */
import {closeSync, fsyncSync, openSync} from 'node:fs'
import type {Limits} from '../limits.ts'
import * as os from '../os/libc.ts'
import {GzipPieces} from './gzip-pieces.ts'
import {TarSplitWriter} from './tar-split-writer.ts'

/** Close it, whatever happens. */
export class TarSplitFile implements Disposable {
  readonly #descriptor: number
  readonly #gzip: GzipPieces
  readonly #split: TarSplitWriter

  /** @param path where nothing is */
  constructor(path: string, limits: Limits) {
    this.#descriptor = openSync(path, 'wx', 0o600)
    this.#gzip = new GzipPieces((bytes) => this.#write(bytes))
    this.#split = new TarSplitWriter(limits, (json) => this.#gzip.update(json))
  }

  /**
   * Takes the next bytes of the tar.
   *
   * @throws {ImgtoolError} as {@link TarSplitWriter.update}, NO_SPACE
   */
  update(chunk: Buffer): void {
    this.#split.update(chunk)
  }

  /** Ends the tar: the file is complete, and on the disk. @throws {ImgtoolError} as {@link update} */
  finish(): void {
    this.#split.finish()
    this.#gzip.finish()
    fsyncSync(this.#descriptor)
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor)
  }

  #write(bytes: Buffer): void {
    os.check(os.write(this.#descriptor, bytes), 'write the tar-split of the layer')
  }
}
