/** Which layers of a store can be read as an archive, whatever docker makes of them: it is their files that matter. */
import type {Digest} from '../digest.ts'
import {isPlaceID} from '../driver/place-id.ts'
import {isImgtoolError} from '../errors.ts'
import {contentPath} from './layout.ts'
import type {ImageState, LayerState, StoreState} from './state.ts'
import type {StoreFiles} from './store-files.ts'
import type {Surveyed} from './survey.ts'

export class LayersToRead {
  readonly #files: StoreFiles
  readonly #driver: Surveyed['driver']
  readonly #state: StoreState
  #byDiffID: ReadonlyMap<string, readonly LayerState[]> | undefined

  constructor({files, driver, state}: Surveyed) {
    this.#files = files
    this.#driver = driver
    this.#state = state
  }

  /** The layers that {@link openStore} reads of an image; undefined where it does not find all of them. */
  of({facts, chain}: ImageState): Digest[] | undefined {
    const found = chain.map((chainID, at) => this.#findReadable(chainID, facts!.diffIDs[at]!))
    return facts === undefined || found.includes(undefined) ? undefined : (found as Digest[])
  }

  /** The layer, or one with the same tar in another image: such as one with nothing in it. */
  #findReadable(chainID: Digest, diffID: Digest): Digest | undefined {
    const own = this.#state.layers.get(chainID)
    if (own?.diffID === diffID && this.#hasFiles(own)) return chainID
    this.#byDiffID ??= this.#groupByDiffID()
    return this.#byDiffID.get(diffID)?.find((layer) => layer.hasTarSplit && this.#hasFiles(layer))?.chainID
  }

  #groupByDiffID(): Map<string, LayerState[]> {
    const {images, layers} = this.#state
    const chainIDs = new Set([...images.values()].flatMap(({chain}) => chain))
    return Map.groupBy(
      [...chainIDs].flatMap((chainID) => layers.get(chainID) ?? []),
      ({diffID}) => diffID,
    )
  }

  #hasFiles({cacheID}: LayerState): boolean {
    if (!isPlaceID(cacheID)) return false
    try {
      return this.#files.isDirectory(contentPath(this.#driver.name, cacheID))
    } catch (error) {
      if (isImgtoolError(error) && error.code === 'ARCHIVE_INVALID') return false
      throw error
    }
  }
}
