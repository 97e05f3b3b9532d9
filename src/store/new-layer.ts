/** What docker knows of a layer, written down while the layer is read. */
import {renameSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import type {Digest} from '../digest.ts'
import * as os from '../os/libc.ts'
import {layerFile, layerPath} from './layout.ts'
import {explained, writeNew} from './new-file.ts'

/** A layer that the store has. */
export interface StoredLayer {
  readonly chainID: Digest
  readonly diffID: Digest
  /** Of its place. */
  readonly cacheID: string
}

/** What a layer is, besides its files. */
export interface LayerFacts extends StoredLayer {
  /** Bytes of its files. */
  readonly size: number
  /** ChainID of the layers below; undefined for a base. */
  readonly parent: Digest | undefined
}

/** The metadata of a layer that is being read. Commit it or abort it. */
export class NewLayer {
  readonly #path: string
  readonly #descriptor: number
  readonly #root: string
  #isOpen = true

  constructor(path: string, descriptor: number, root: string) {
    this.#path = path
    this.#descriptor = descriptor
    this.#root = root
  }

  /** Where its tar-split is written. */
  get tarSplitPath(): string {
    return join(this.#path, layerFile.tarSplit)
  }

  /** Makes the layer one of the store. Call with the store's lock, and after {@link StoreWriter.layer} found none. */
  commit({chainID, diffID, cacheID, size, parent}: LayerFacts): void {
    explained(() => {
      const files = {
        [layerFile.diffID]: diffID,
        [layerFile.cacheID]: cacheID,
        [layerFile.size]: String(size),
        ...(parent && {[layerFile.parent]: parent}),
      }
      for (const [name, text] of Object.entries(files)) writeNew(join(this.#path, name), Buffer.from(text))
      const target = join(this.#root, layerPath(chainID))
      // What is there is a part of a layer, which nobody can use.
      rmSync(target, {recursive: true, force: true})
      renameSync(this.#path, target)
    }, 'write down a layer')
    this.#close()
  }

  /** Does nothing after {@link commit}. What cannot be removed is a leftover for who comes next. */
  abort(): void {
    try {
      if (this.#isOpen) rmSync(this.#path, {recursive: true, force: true})
    } catch {
      // What went wrong before matters more.
    }
    this.#close()
  }

  #close(): void {
    if (this.#isOpen) os.close(this.#descriptor)
    this.#isOpen = false
  }
}
