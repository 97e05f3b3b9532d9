/** What docker knows of the images, layers and containers of a driver, with all that is damaged: nothing is left out. */
import {type Digest, isID} from '../digest.ts'
import type {DriverName} from '../driver/driver.ts'
import type {ImgtoolError} from '../errors.ts'
import {chainIDs} from '../image/chain.ts'
import type {ConfigFacts} from '../image/config.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {tolerate} from './damage.ts'
import {readRepositories, readStoredConfig} from './documents.ts'
import {
  configsName,
  containerFile,
  containersName,
  imageMetadataPath,
  layerFile,
  layerPath,
  layersName,
  metadataRoot,
} from './layout.ts'
import type {StoreFiles} from './store-files.ts'

/** A layer, by what its files say: none of it need be true. */
export interface LayerState {
  readonly chainID: Digest
  readonly diffID: string
  readonly cacheID: string
  /** ChainID of the layers below; undefined at the base. */
  readonly parent: string | undefined
  /** Bytes of its files; undefined for what is no number. */
  readonly size: number | undefined
  readonly hasTarSplit: boolean
}

export interface ImageState {
  readonly imageID: Digest
  /** Image ID of the image that it was built on. */
  readonly parent: string | undefined
  /** Undefined for a config that cannot be used. */
  readonly facts: ConfigFacts | undefined
  /** Why it cannot. */
  readonly fault: string | undefined
  /** The limit without which it could perhaps. */
  readonly limit: ImgtoolError | undefined
  /** ChainIDs of its layers, base first. */
  readonly chain: readonly Digest[]
}

export interface ContainerState {
  readonly id: string
  /** Its places, topmost first. */
  readonly places: readonly string[]
  /** ChainID of the image's layers; undefined for a container of nothing. */
  readonly parent: string | undefined
}

export interface StoreState {
  readonly layers: ReadonlyMap<string, LayerState>
  readonly images: ReadonlyMap<string, ImageState>
  /** Image IDs by name, with tag or digest. */
  readonly names: ReadonlyMap<string, string>
  /** Why names cannot be read. */
  readonly namesFault: string | undefined
  readonly containers: readonly ContainerState[]
}

/**
 * Reads it all; of the layers, nothing but what docker knows of them. Nobody may change it meanwhile.
 *
 * @throws {ImgtoolError} LIMIT_EXCEEDED, PERMISSION_DENIED, ARCHIVE_INVALID where a directory is none
 */
export function readState(files: StoreFiles, driver: DriverName, limits: Limits): StoreState {
  const root = metadataRoot(driver)
  const reader = new StateReader(files, root, limits)
  return {...reader.names(), images: reader.images(), containers: reader.containers(), layers: reader.layers()}
}

class StateReader {
  readonly #files: StoreFiles
  readonly #root: string
  readonly #limits: Limits

  constructor(files: StoreFiles, root: string, limits: Limits) {
    this.#files = files
    this.#root = root
    this.#limits = limits
  }

  names(): Pick<StoreState, 'names' | 'namesFault'> {
    const [document, namesFault] = resultOrFault(() => readRepositories(this.#files, this.#root, this.#limits))
    return {names: new Map([...(document?.Repositories.values() ?? [])].flatMap((each) => [...each])), namesFault}
  }

  images(): Map<string, ImageState> {
    const images = this.#list(configsName).map((hex): ImageState => {
      const imageID: Digest = `sha256:${hex}`
      const [facts, fault, error] = resultOrFault(() =>
        readStoredConfig(this.#files, this.#root, imageID, this.#limits),
      )
      const limit = error?.code === 'LIMIT_EXCEEDED' ? error : undefined
      const parent = this.#line(`${imageMetadataPath(imageID)}/parent`)
      return {imageID, parent, facts, fault, limit, chain: facts === undefined ? [] : chainIDs(facts.diffIDs)}
    })
    return new Map(images.map((image) => [image.imageID, image]))
  }

  layers(): Map<string, LayerState> {
    const layers = this.#list(layersName).map((hex): LayerState => {
      const chainID: Digest = `sha256:${hex}`
      const path = layerPath(chainID)
      const line = (name: keyof typeof layerFile) => this.#line(`${path}/${layerFile[name]}`)
      const size = line('size') ?? ''
      const hasTarSplit = tolerate(() => this.#files.isFile(`${this.#root}/${path}/${layerFile.tarSplit}`)) ?? false
      return {
        chainID,
        diffID: line('diffID') ?? '',
        cacheID: line('cacheID') ?? '',
        parent: line('parent'),
        size: /^\d{1,15}$/.test(size) ? Number(size) : undefined,
        hasTarSplit,
      }
    })
    return new Map(layers.map((layer) => [layer.chainID, layer]))
  }

  containers(): ContainerState[] {
    return this.#list(containersName).map((id) => {
      const line = (name: keyof typeof containerFile) => this.#line(`${containersName}/${id}/${containerFile[name]}`)
      const places = [line('mountID') ?? '', line('initID')].filter((place) => place !== undefined)
      return {id, places, parent: line('parent')}
    })
  }

  /** Ids that a directory has. */
  #list(directory: string): string[] {
    const ids = (this.#files.list(`${this.#root}/${directory}`) ?? []).filter(isID)
    checkLimit(this.#limits, 'members', ids.length, `names in ${directory}`)
    return ids
  }

  /** Undefined for what is no file of one line, too. */
  #line(path: string): string | undefined {
    return tolerate(() => this.#files.line(`${this.#root}/${path}`))
  }
}

/** What is damaged is told beside what is there. */
function resultOrFault<Result>(
  read: () => Result,
): [result: Result | undefined, fault: string | undefined, error?: ImgtoolError | undefined] {
  let damage: ImgtoolError | undefined
  const result = tolerate(read, (error) => {
    damage = error
  })
  return [result, damage?.message, damage]
}
