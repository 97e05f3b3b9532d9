/** Mounts images and containers of docker's data-root: to look at, or as a container that takes what is written. */
import {randomBytes} from 'node:crypto'
import {lstatSync} from 'node:fs'
import {resolve} from 'node:path'
import {type Digest, shortID} from './digest.ts'
import type {Driver, DriverName, PlaceID} from './driver/driver.ts'
import {writeInitLayer} from './driver/init-layer.ts'
import {
  findMount,
  findMountOfPlace,
  followMountPoint,
  listAllMounts,
  type Mount,
  mountBound,
  openMountPoint,
  showsSame,
  unmount,
} from './driver/mounts.ts'
import {isPlaceID} from './driver/place-id.ts'
import {ImgtoolError} from './errors.ts'
import {findName, findStored, isImageID} from './find-stored.ts'
import type {OnWarning} from './layer/change.ts'
import {defaultLimits, type Limits} from './limits.ts'
import {removeContainer, requireOwn} from './remove-stored.ts'
import {type ContainerNames, findContainer, listContainers, type StoredContainer} from './store/containers.ts'
import {hasDaemon} from './store/daemon.ts'
import {lockStore} from './store/lock.ts'
import type {ContainerState, LayerState, StoreState} from './store/state.ts'
import {type ContainerFacts, StoreWriter} from './store/writer.ts'
import {type KeptStore, openKeptStore, type StoreOptions} from './store-status.ts'
import {type ByteString, printable, printableText, toText} from './text.ts'
import {requireSystem} from './unpack.ts'

export interface MountOptions extends StoreOptions {
  readonly onWarning?: OnWarning | undefined
}

export interface MountResult {
  readonly driver: DriverName
  /** Absent for a container that does not tell its image. */
  readonly imageID?: string
  /** Of the container that is mounted; absent for an image to look at. */
  readonly container?: string
}

/**
 * Mounts an image or a container in an empty directory, or what a symlink to one leads to, for reading. A daemon may run on the data-root, with a warning: nobody
 * keeps it from removing what is shown.
 *
 * @param wanted a name, or the first 12 or more digits of an image ID; else of a container, likewise
 * @throws {ImgtoolError} IMAGE_NOT_FOUND, IMAGE_AMBIGUOUS, IMAGE_USED for a container that is mounted, STORE_INVALID for what is
 *   not whole, TARGET_INVALID, TARGET_EXISTS, PERMISSION_DENIED, PLATFORM_UNSUPPORTED, and as `storeStatus`
 */
export async function mountImage(
  store: string,
  wanted: string,
  mountPoint: string,
  options: MountOptions = {},
): Promise<MountResult> {
  using kept = await openKeptStore(store, options)
  if (hasDaemon(store)) options.onWarning?.({code: 'DAEMON_RUNS', message: describeDaemon(store)})
  using _ = await lockStore(store, options.signal)
  const {driver} = kept
  const point = followMountPoint(mountPoint)
  const state = kept.readState()
  const container = findIdle(kept, state, wanted, options.limits)
  if (container !== undefined) {
    driver.mount(container.place, point)
    return {driver: driver.name, ...factsOf(container)}
  }
  const {imageID, top} = findTop(state, wanted)
  driver.mount(top.cacheID, point)
  return {driver: driver.name, imageID}
}

function describeDaemon(store: string): string {
  const shown = printableText(store)
  return `A docker daemon runs on "${shown}": what it removes is gone from the mount, and what it changes may be shown in part`
}

/**
 * Mounts an image in an empty directory as docker does for a container: what is written lands in a place of its own, on one
 * with what docker puts into every container. Both stay when it is unmounted, and a container that is there goes on.
 *
 * @param wanted as {@link mountImage}
 * @throws {ImgtoolError} as {@link mountImage}, and NO_SPACE
 */
export async function mountContainer(
  store: string,
  wanted: string,
  mountPoint: string,
  options: StoreOptions = {},
): Promise<MountResult & {readonly container: string}> {
  using kept = await openKeptStore(store, options)
  const point = followMountPoint(mountPoint)
  openMountPoint(point)[Symbol.dispose]()
  const {driver} = kept
  using writer = new StoreWriter(store, driver)
  using _ = await writer.lock(options.signal)
  const state = kept.readState()
  const idle = findIdle(kept, state, wanted, options.limits)
  if (idle !== undefined) {
    showPlace(driver, idle.place, point)
    return {driver: driver.name, ...factsOf(idle)}
  }
  const {imageID, top} = findTop(state, wanted)
  const mountID = newID()
  const created = new Date().toISOString()
  const facts = {id: newID(), mountID, initID: `${mountID}-init`, parent: top.chainID, imageID, created}
  try {
    makePlaces(driver, facts, top.cacheID)
    writer.addContainer(facts)
    showPlace(driver, mountID, point)
  } catch (error) {
    removeContainer(writer, driver, {id: facts.id, places: [mountID, facts.initID]})
    throw error
  }
  driver.release(facts.initID)
  driver.release(mountID)
  return {driver: driver.name, imageID, container: facts.id}
}

/** Shows a container's place, so that it can be written to. */
function showPlace(driver: Driver, id: PlaceID, mountPoint: string): void {
  try {
    mountBound(driver.get(id, {isWritable: true}), mountPoint, {isWritable: true})
  } catch (error) {
    driver.put(id)
    throw error
  }
}

/** A container; undefined for an image. @throws {ImgtoolError} IMAGE_AMBIGUOUS for what both are called, IMAGE_USED while it is mounted */
function findIdle(
  {files, driver}: KeptStore,
  state: StoreState,
  wanted: string,
  limits: Limits = defaultLimits,
): StoredContainer | undefined {
  const name = findName(state, wanted)
  if (name !== undefined) requireOnlyImage(listContainers(files, driver.name, limits), name, wanted)
  if (name !== undefined || isImageID(state, wanted)) return undefined
  const container = findContainer(files, driver.name, wanted, limits)
  const mount = container && findMountOfPlace([container.place])
  if (mount === undefined) return container
  const point = printable(mount.point)
  throw new ImgtoolError(
    'IMAGE_USED',
    `Cannot mount container ${shortID(container!.id)}: it is mounted on "${point}"`,
    {
      hint: `Run: imgtool umount '${point}'`,
    },
  )
}

function requireOnlyImage(containers: readonly ContainerNames[], image: string, wanted: string): void {
  const container = containers.find(({name}) => name === wanted)
  if (container === undefined) return
  const message = `Cannot choose between the image and the container that are called "${printableText(wanted)}"`
  throw new ImgtoolError('IMAGE_AMBIGUOUS', message, {
    hint: `Give ${printableText(image)} for the image, ${shortID(container.id)} for the container`,
  })
}

function factsOf({id, imageID}: StoredContainer): {container: string; imageID?: string} {
  return {container: id, ...(imageID !== undefined && {imageID})}
}

/** What docker names by 64 digits says nothing. */
const newID = () => randomBytes(32).toString('hex')

function makePlaces(driver: Driver, {mountID, initID}: ContainerFacts, below: PlaceID): void {
  driver.create(initID, below)
  const merged = driver.get(initID, {isWritable: true})
  try {
    writeInitLayer(merged)
  } finally {
    driver.put(initID)
  }
  driver.create(mountID, initID)
}

function findTop(state: StoreState, wanted: string): {imageID: Digest; top: LayerState} {
  const image = findStored(state, wanted)
  const refuse = (why: string) => new ImgtoolError('STORE_INVALID', `Cannot mount "${printableText(wanted)}": ${why}`)
  if (image === undefined) throw refuse('its image is not there')
  if (image.fault !== undefined) throw refuse(image.fault)
  const lost = image.chain.find((chainID) => !isPlaceID(state.layers.get(chainID)?.cacheID ?? ''))
  if (lost !== undefined) throw refuse(`its layer ${lost} is missing`)
  const top = state.layers.get(image.chain.at(-1) ?? '')
  if (top === undefined) throw refuse('it has no layers')
  return {imageID: image.imageID, top}
}

export interface UnmountResult {
  readonly container?: string
  /** Whether the container is gone, with what was written. */
  readonly removed: boolean
}

/**
 * Unmounts what {@link mountImage} or {@link mountContainer} mounted.
 *
 * @param options.remove the container as well; else it stays in the store with what was written
 * @throws {ImgtoolError} TARGET_INVALID where nothing of a store is mounted, or no container that could be removed;
 *   PERMISSION_DENIED, SYSTEM_ERROR while it is used
 */
export async function unmountImage(
  mountPoint: string,
  {remove = false, signal}: {readonly remove?: boolean; readonly signal?: AbortSignal} = {},
): Promise<UnmountResult> {
  requireSystem()
  const mount = findMountOf(mountPoint)
  const point = toText(mount.point)
  const place = findPlace(mount)
  if (place === undefined) {
    const isUnion = /^(?:overlay|aufs|fuse\.fuse-overlayfs)$/.test(mount.type)
    if (!isUnion) throw refuse(mountPoint, 'it is no image that is mounted there')
    if (remove) throw refuse(mountPoint, nothingWritten)
    unmount(point)
    return {removed: false}
  }
  const {store, driver: name, id: mountID} = place
  using kept = await openKeptStore(store, {driver: name})
  const {driver} = kept
  const container = await findContainerIn(kept, store, mountID, signal)
  if (container === undefined) {
    // Nothing changes in the data-root, so that a daemon may run on it.
    requireShownHere(mountPoint, mount, place)
    if (remove) throw refuse(mountPoint, nothingWritten)
    unmount(point)
    return {removed: false}
  }
  using writer = new StoreWriter(store, driver)
  using _ = await writer.lock(signal)
  requireShownHere(mountPoint, mount, place)
  if (remove) requireOwn(kept.files, container)
  unmount(point)
  driver.put(mountID)
  if (remove) removeContainer(writer, driver, container)
  return {container: container.id, removed: remove}
}

async function findContainerIn(
  kept: KeptStore,
  store: string,
  mountID: PlaceID,
  signal: AbortSignal | undefined,
): Promise<ContainerState | undefined> {
  using _ = await lockStore(store, signal)
  return kept.readState().containers.find(({places}) => places[0] === mountID)
}

const nothingWritten = 'nothing can be written there, so that nothing can be removed'

function refuse(mountPoint: string, why: string, hint?: string): ImgtoolError {
  const message = `Cannot unmount "${printableText(mountPoint)}": ${why}`
  return new ImgtoolError('TARGET_INVALID', message, hint === undefined ? {} : {hint})
}

/** Both the mount and its place can be unmounted then, so that nothing is left of them. */
function requireShownHere(mountPoint: string, mount: Mount, {path, isHidden}: FoundPlace): void {
  const mounts = listAllMounts()
  const above = isHidden && mounts.findLast(({point}) => isBelow(path, point))
  if (above) {
    const hint = `Run: umount '${printable(above.point)}'`
    throw refuse(
      mountPoint,
      `its place "${printable(path)}" is hidden by what is mounted on "${printable(above.point)}"`,
      hint,
    )
  }
  const shown = path === mount.point && mounts.findLast((each) => showsSame(each, mount) && each.point !== path)
  if (shown) {
    const point = printable(shown.point)
    throw refuse(mountPoint, `it is shown on "${point}"`, `Run: imgtool umount '${point}'`)
  }
}

function findMountOf(mountPoint: string): Mount {
  try {
    const mount = findMount(resolve(mountPoint)) ?? findMount(resolve(followMountPoint(mountPoint)))
    if (mount !== undefined) return mount
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  throw refuse(mountPoint, 'nothing is mounted there')
}

interface FoundPlace {
  /** The data-root. */
  readonly store: string
  readonly driver: DriverName
  readonly id: PlaceID
  readonly path: ByteString
  /** Something else is seen at its path by now: a daemon mounts its directories anew. */
  readonly isHidden: boolean
}

/** Where the places of drivers are mounted, or are, below the data-root. */
const placePaths: readonly (readonly [DriverName, RegExp])[] = [
  ['overlay2', /^(.+)\/overlay2\/([^/]+)\/merged$/],
  ['aufs', /^(.+)\/aufs\/mnt\/([^/]+)$/],
  ['vfs', /^(.+)\/vfs\/dir\/([^/]+)$/],
]

/** The place that is shown: by this or another mount of the same file system, or by the directory that it is. */
function findPlace(mount: Mount): FoundPlace | undefined {
  const others = listAllMounts().filter(({device, point}) => device === mount.device && point !== mount.point)
  const paths = others.flatMap(({point, root}) => [
    ...(root === mount.root ? [point] : []),
    ...(isBelow(mount.root, root)
      ? [`${point === '/' ? '' : point}/${mount.root.slice(root === '/' ? 1 : root.length + 1)}`]
      : []),
  ])
  const found = [mount.point, ...paths].flatMap((path) => placesAt(path, mount))
  return found.find(({isHidden}) => !isHidden) ?? found[0]
}

function placesAt(path: ByteString, mount: Mount): FoundPlace[] {
  return placePaths.flatMap(([driver, pattern]) => {
    const [, store, id = ''] = pattern.exec(path) ?? []
    if (store === undefined || !isPlaceID(id)) return []
    return [{store: toText(store), driver, id, path, isHidden: !isSame(path, mount.point)}]
  })
}

function isBelow(path: string, directory: string): boolean {
  return directory === '/' ? path !== '/' : path.startsWith(`${directory}/`)
}

/** Something else may be mounted over a place by now. */
function isSame(one: string, other: string): boolean {
  try {
    const [{dev, ino}, second] = [lstatSync(toText(one)), lstatSync(toText(other))]
    return dev === second.dev && ino === second.ino
  } catch {
    return false
  }
}
