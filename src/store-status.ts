/** What is in docker's data-root: its driver, its images. */
import {resolve} from 'node:path'
import {type Digest, isDigest} from './digest.ts'
import type {Driver, DriverName} from './driver/driver.ts'
import {findMountOfPlace} from './driver/mounts.ts'
import {isPlaceID} from './driver/place-id.ts'
import {defaultLimits, type Limits} from './limits.ts'
import {openDriver} from './open-driver.ts'
import {listContainers as listNames} from './store/containers.ts'
import {lockStore} from './store/lock.ts'
import {openStoreFiles} from './store/open-files.ts'
import {readState, type StoreState} from './store/state.ts'
import type {StoreFiles} from './store/store-files.ts'
import {findImageFaults} from './store/survey.ts'
import {requireSystem} from './unpack.ts'

export interface StoreOptions {
  /** By default the only one that the store has. */
  readonly driver?: DriverName | undefined
  readonly limits?: Limits
  readonly signal?: AbortSignal
}

/** A data-root that is looked after. Close it. */
export interface KeptStore extends Disposable {
  readonly files: StoreFiles
  readonly driver: Driver
  /** Reads what docker knows. Call while nobody may change it. */
  readState(): StoreState
}

/** Opens a data-root. @throws {ImgtoolError} as {@link storeStatus} */
export async function openKeptStore(
  store: string,
  {driver: wanted, limits = defaultLimits}: StoreOptions,
): Promise<KeptStore> {
  requireSystem()
  const opened = openStoreFiles(store, wanted)
  try {
    const driver = await openDriver(opened.driver, store)
    return {
      files: opened.files,
      driver,
      readState: () => readState(opened.files, opened.driver, limits),
      [Symbol.dispose]() {
        driver[Symbol.dispose]()
        opened[Symbol.dispose]()
      },
    }
  } catch (error) {
    opened[Symbol.dispose]()
    throw error
  }
}

export interface StoreStatus {
  readonly driver: DriverName
  /** Absolute. */
  readonly root: string
  /** What `docker info` says of the driver: names and values, in docker's order. */
  readonly status: readonly (readonly [name: string, value: string])[]
  readonly images: number
  readonly containers: number
  readonly layers: number
  /** Bytes of the files of all layers, each counted once. */
  readonly size: number
}

/**
 * Says what `docker info` says of a driver and how much there is.
 *
 * @throws {ImgtoolError} SOURCE_NOT_FOUND, PERMISSION_DENIED, FORMAT_UNKNOWN, IMAGE_AMBIGUOUS for several drivers, LIMIT_EXCEEDED
 */
export async function storeStatus(store: string, options: StoreOptions = {}): Promise<StoreStatus> {
  using kept = await openKeptStore(store, options)
  using _ = await lockStore(store, options.signal)
  const {images, layers, containers} = kept.readState()
  return {
    driver: kept.driver.name,
    root: resolve(store),
    status: kept.driver.status(),
    images: images.size,
    containers: containers.length,
    layers: layers.size,
    size: [...layers.values()].reduce((sum, {size = 0}) => sum + size, 0),
  }
}

/** An image of a store. */
export interface StoredImage {
  readonly imageID: Digest
  /** Sorted; with tag or digest. */
  readonly names: readonly string[]
  readonly created?: string
  /** How many. */
  readonly layers: number
  /** Bytes of the files of its layers, as `docker images` says it. */
  readonly size: number
  /** Why it cannot be used. */
  readonly damage?: string
}

/** A container of a store. */
export interface ListedContainer {
  readonly containerID: string
  /** Absent for a container that imgtool made, and where docker's own file of it is lost. */
  readonly name?: string
  /** Absent where nothing says which image it was made of; that image need not be there. */
  readonly imageID?: string
  readonly isMounted: boolean
  /** Why it cannot be used. */
  readonly damage?: string
}

/**
 * Lists all containers of a store, docker's and imgtool's own, damaged ones, too; by name, those without one last.
 *
 * @throws {ImgtoolError} as {@link storeStatus}
 */
export async function listContainers(store: string, options: StoreOptions = {}): Promise<ListedContainer[]> {
  using kept = await openKeptStore(store, options)
  using _ = await lockStore(store, options.signal)
  const {containers} = kept.readState()
  const places = new Map(containers.map((container) => [container.id, container.places]))
  const named = listNames(kept.files, kept.driver.name, options.limits ?? defaultLimits)
  const listed = named.map(({id, name, imageID}): ListedContainer => {
    const own = places.get(id) ?? []
    const isLost = own.some((place) => !isPlaceID(place) || !kept.driver.exists(place))
    return {
      containerID: id,
      ...(name !== undefined && {name}),
      ...(imageID !== undefined && {imageID}),
      isMounted: findMountOfPlace(own) !== undefined,
      ...(isLost && {damage: 'its files are missing'}),
    }
  })
  const key = ({name, containerID}: ListedContainer) => (name === undefined ? `1${containerID}` : `0${name}`)
  return listed.toSorted((one, other) => (key(one) < key(other) ? -1 : 1))
}

/**
 * Lists all images of a store, damaged ones, too, also those of which only names are left; those with names first, by name.
 * Nothing of the layers is read.
 *
 * @throws {ImgtoolError} as {@link storeStatus}
 */
export async function listStore(store: string, options: StoreOptions = {}): Promise<StoredImage[]> {
  using kept = await openKeptStore(store, options)
  using _ = await lockStore(store, options.signal)
  const state = kept.readState()
  const {images, layers, names} = state
  const faults = findImageFaults({...kept, state})
  const namesOf = Map.groupBy(names.keys(), (name) => names.get(name))
  const listed = [...images.values()].map(({imageID, facts, chain}): StoredImage => {
    const damage = faults.get(imageID)
    return {
      imageID,
      names: (namesOf.get(imageID) ?? []).toSorted(),
      ...(facts?.created !== undefined && {created: facts.created}),
      layers: chain.length,
      size: chain.reduce((sum, chainID) => sum + (layers.get(chainID)?.size ?? 0), 0),
      ...(damage !== undefined && {damage}),
    }
  })
  // What a name says may be anything.
  const lost = [...new Set(names.values())].filter((id): id is Digest => !images.has(id) && isDigest(id))
  for (const imageID of lost) {
    const damage = 'its config is missing'
    listed.push({imageID, names: namesOf.get(imageID)!.toSorted(), layers: 0, size: 0, damage})
  }
  const key = ({names: [name], imageID}: StoredImage) => (name === undefined ? `1${imageID}` : `0${name}`)
  return listed.toSorted((one, other) => (key(one) < key(other) ? -1 : 1))
}
