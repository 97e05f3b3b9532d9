/** The layers of a store as blobs. */
import type {Blob} from '../archive/archive.ts'
import {anyAufs, anyOverlay} from '../driver/dialect.ts'
import {LowerLayers} from '../driver/lower.ts'
import type {Limits} from '../limits.ts'
import type {ByteString} from '../text.ts'
import {changedPaths} from './changed-paths.ts'
import {type LayerParts, LayerTar} from './layer-tar.ts'
import {contentPath, keepsTrees, type StoreDriver} from './layout.ts'
import {rebuildTar} from './rebuild.ts'
import {LayerFiles, type StoreFiles} from './store-files.ts'
import type {Piece} from './tar-split.ts'
import {readTarSplit} from './tar-split-reader.ts'

/** What leads to a layer. */
export interface StoredLayerFacts {
  /** Of the blob, for messages. */
  readonly name: ByteString
  /** The driver's id of it, checked to be one. */
  readonly cacheID: string
  /** The driver's id of the layer below; undefined at the base. */
  readonly parentCacheID: string | undefined
  /** Path of the tar-split; undefined where there is none. */
  readonly tarSplit: ByteString | undefined
  /** Bytes of its files, where the store says it. */
  readonly filesSize: number | undefined
}

/** Makes blobs of layers. Close it, and what they keep open is closed. */
export class StoreLayers {
  readonly #files: StoreFiles
  readonly #driver: StoreDriver
  readonly #limits: Limits
  readonly #rebuilt = new WeakSet<Blob>()
  readonly #layers: LayerTar[] = []
  /** By the driver's id: that of the layer below. */
  readonly #below = new Map<string, string>()
  /** By the driver's id: comparing reads two trees. */
  readonly #changed = new Map<string, ReadonlySet<ByteString>>()

  constructor(files: StoreFiles, driver: StoreDriver, limits: Limits) {
    this.#files = files
    this.#driver = driver
    this.#limits = limits
  }

  get driver(): StoreDriver {
    return this.#driver
  }

  /** @returns undefined where the driver has no files of the layer */
  blob(facts: StoredLayerFacts): Blob | undefined {
    if (!this.#files.isDirectory(contentPath(this.#driver, facts.cacheID))) return undefined
    const {tarSplit, parentCacheID} = facts
    if (parentCacheID !== undefined) this.#below.set(facts.cacheID, parentCacheID)
    const open = tarSplit === undefined ? () => this.#rebuild(facts) : () => this.#assemble(facts, tarSplit)
    const layer = new LayerTar(facts.name, open, facts.filesSize)
    if (tarSplit === undefined) this.#rebuilt.add(layer)
    this.#layers.push(layer)
    return layer
  }

  /** Whether a layer is made anew of its files. */
  isRebuilt(layer: Blob): boolean {
    return this.#rebuilt.has(layer)
  }

  close(): void {
    for (const layer of this.#layers) layer.close()
  }

  #assemble({cacheID}: StoredLayerFacts, tarSplit: ByteString): LayerParts {
    return partsOf(this.#open(cacheID), readTarSplit(this.#files.chunks(tarSplit), this.#limits))
  }

  #rebuild({cacheID, parentCacheID}: StoredLayerFacts): LayerParts {
    const files = this.#open(cacheID)
    if (parentCacheID === undefined || !keepsTrees(this.#driver))
      return partsOf(files, rebuildTar(this.#driver, files, undefined))
    const below = this.#open(parentCacheID)
    return partsOf(files, this.#compare(cacheID, files, below), below)
  }

  *#compare(cacheID: string, files: LayerFiles, below: LayerFiles): Generator<Piece> {
    const changed = this.#changed.get(cacheID) ?? changedPaths(files, below)
    this.#changed.set(cacheID, changed)
    yield* rebuildTar(this.#driver, files, {files: below, changed})
  }

  #open(cacheID: string): LayerFiles {
    return new LayerFiles(this.#openContent(cacheID), this.#limits, this.#unionOf(cacheID))
  }

  #unionOf(cacheID: string): LowerLayers | undefined {
    if (keepsTrees(this.#driver)) return undefined
    const stack = new Set<string>()
    // A damaged store may have layers in a ring.
    for (let at: string | undefined = cacheID; at !== undefined && !stack.has(at); at = this.#below.get(at))
      stack.add(at)
    const layers = [...stack]
    const dialect = this.#driver === 'aufs' ? anyAufs : anyOverlay
    return new LowerLayers(layers.length, (layer) => this.#openContent(layers[layer]!), dialect)
  }

  #openContent(cacheID: string): number {
    return this.#files.requireDirectory(contentPath(this.#driver, cacheID))
  }
}

/** @param below is closed with the files */
function partsOf(files: LayerFiles, pieces: Generator<Piece>, below?: LayerFiles): LayerParts {
  const close = () => {
    pieces.return(undefined)
    files.close()
    below?.close()
  }
  return {pieces, open: (name) => files.open(name), close}
}
