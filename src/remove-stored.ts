/** Removes images from docker's data-root, as `docker rmi` does. */
import {type Digest, shortID} from './digest.ts'
import type {Driver, DriverName} from './driver/driver.ts'
import {findMountOfPlace, listAllMounts, type Mount} from './driver/mounts.ts'
import {isPlaceID} from './driver/place-id.ts'
import {ImgtoolError} from './errors.ts'
import {findImage, findName, isImageID} from './find-stored.ts'
import type {ContainerState, ImageState, StoreState} from './store/state.ts'
import type {StoreFiles} from './store/store-files.ts'
import {surveyStore, withAllBelow} from './store/survey.ts'
import {StoreWriter} from './store/writer.ts'
import {openKeptStore, type StoreOptions} from './store-status.ts'
import {printable} from './text.ts'

export interface RemoveResult {
  readonly driver: DriverName
  /** Names that no image has any more. */
  readonly names: readonly string[]
  /** The image, and nameless ones that only it was built on; none while it has other names, or others were built on it. */
  readonly images: readonly Digest[]
  /** ChainIDs of layers that nobody else needs, topmost first. */
  readonly layers: readonly Digest[]
  /** Containers without a docker that knows them. */
  readonly containers: readonly string[]
  /** Whether layers stay because another run is at work, which could count on them. */
  readonly layersStay: boolean
}

/** Removes a container with what it wrote; what is not there of it is fine. Call with the lock. */
export function removeContainer(
  writer: StoreWriter,
  driver: Driver,
  {id, places}: Omit<ContainerState, 'parent'>,
): void {
  writer.removeContainer(id)
  for (const place of places.filter(isPlaceID)) driver.remove(place)
}

/**
 * Removes a name of an image, and the image with its last name; by an id, the image with all names. Names go first, places of
 * layers last, so that whatever ends the run, nothing refers to what is gone.
 *
 * @param wanted a name, without a tag `latest`, or the first 12 or more digits of an image ID; or of a container that imgtool
 *   mounted
 * @throws {ImgtoolError} IMAGE_NOT_FOUND, IMAGE_AMBIGUOUS, IMAGE_USED, also for a container that is mounted or docker's,
 *   STORE_INVALID where names cannot be read, and as `storeStatus`
 */
export async function removeStoredImage(
  store: string,
  wanted: string,
  options: StoreOptions = {},
): Promise<RemoveResult> {
  using kept = await openKeptStore(store, options)
  using writer = new StoreWriter(store, kept.driver)
  using _ = await writer.lock(options.signal)
  const state = kept.readState()
  const {driver} = kept
  const container = findContainerByID(state, wanted)
  if (container !== undefined) {
    requireForgotten(kept.files, container)
    removeContainer(writer, driver, container)
    const containers = [container.id]
    return {driver: driver.name, names: [], images: [], layers: [], containers, layersStay: false}
  }
  const plan = planRemoval(state, wanted)
  writer.removeNames(plan.names)
  for (const imageID of plan.images) writer.removeImage(imageID)
  const isAlone = writer.isAlone()
  const own = layersOf(state, plan.images)
  const {unusedLayers, knowsLayers} = surveyStore({...kept, state: kept.readState()})
  // An image whose config is lost could have them, too.
  const unused = knowsLayers ? unusedLayers.filter((chainID) => own.has(chainID)) : []
  const layers = isAlone ? unused : []
  for (const chainID of layers) writer.removeLayer(chainID)
  writer.removeLeftovers()
  return {driver: driver.name, ...plan, layers, containers: [], layersStay: layers.length < unused.length}
}

function planRemoval(state: StoreState, wanted: string): Pick<RemoveResult, 'names' | 'images'> {
  if (state.namesFault !== undefined)
    throw new ImgtoolError('STORE_INVALID', `Cannot remove from the store: ${state.namesFault}`)
  const name = findName(state, wanted)
  const image = name === undefined ? findImage(state, wanted) : state.images.get(state.names.get(name)!)
  // A name of what is not there.
  if (image === undefined) return {names: [name!], images: []}
  const all = [...state.names].filter(([, imageID]) => imageID === image.imageID).map(([each]) => each)
  const others = all.filter((each) => each !== name && (name === undefined || !isDigestOf(each, name)))
  if (name !== undefined && others.length > 0) return {names: [name], images: []}
  requireUnused(state, image)
  requireUnmounted(state, image)
  const child = childrenOf(state, image.imageID)[0]
  if (child === undefined) return {names: all, images: [image.imageID, ...namelessParents(state, image)]}
  if (name !== undefined) return {names: all, images: []}
  throw used(image, `image ${shortID(child.imageID)} was built on it`)
}

/** Docker forgets where an image came from with the last tag of that repository. */
function isDigestOf(name: string, tagged: string): boolean {
  return name.includes('@') && tagged.startsWith(`${name.slice(0, name.indexOf('@'))}:`)
}

/** Images go before containers, whose ids nobody chooses. */
function findContainerByID(state: StoreState, wanted: string): ContainerState | undefined {
  if (!/^[0-9a-f]{12,64}$/.test(wanted) || findName(state, wanted) !== undefined) return undefined
  const found = state.containers.filter(({id}) => id.startsWith(wanted))
  return isImageID(state, wanted) || found.length > 1 ? undefined : found[0]
}

function requireForgotten(files: StoreFiles, container: ContainerState): void {
  const mount = findMountOfPlace(container.places)
  if (mount !== undefined) {
    const point = printable(mount.point)
    throw unremovable(container, `it is mounted on "${point}"`, `Run: imgtool umount --remove '${point}'`)
  }
  requireOwn(files, container)
}

/** @throws {ImgtoolError} IMAGE_USED for a container that docker knows more of than imgtool does */
export function requireOwn(files: StoreFiles, container: ContainerState): void {
  if (files.isDirectory(`containers/${container.id}`))
    throw unremovable(container, 'it is one of docker', `Run: docker rm ${shortID(container.id)}`)
}

function unremovable({id}: ContainerState, why: string, hint: string): ImgtoolError {
  return new ImgtoolError('IMAGE_USED', `Cannot remove container ${shortID(id)}: ${why}`, {hint})
}

function requireUnused({containers}: StoreState, image: ImageState): void {
  const top = image.chain.at(-1)
  const container = containers.find(({parent}) => parent !== undefined && parent === top)
  if (container !== undefined) throw used(image, `container ${shortID(container.id)} uses it`)
}

/** As far as mounts say what they show: fuse-overlayfs does not, nor does an overlay of paths that no option can hold. */
function requireUnmounted({layers}: StoreState, image: ImageState): void {
  const top = layers.get(image.chain.at(-1) ?? '')?.cacheID
  const shows = ({root, options}: Mount) => top && (root.endsWith(`/${top}`) || options.includes(`/${top}/`))
  const mount = listAllMounts().find(shows)
  if (mount !== undefined) throw used(image, `it is mounted on "${printable(mount.point)}"`)
}

function childrenOf({images}: StoreState, imageID: Digest): ImageState[] {
  return [...images.values()].filter(({parent}) => parent === imageID)
}

/** Steps of a build that only this image went on from. */
function namelessParents(state: StoreState, image: ImageState): Digest[] {
  const named = new Set(state.names.values())
  const found = new Set<Digest>()
  for (let child = image; ; ) {
    const parent = state.images.get(child.parent ?? '')
    if (parent === undefined || named.has(parent.imageID) || found.has(parent.imageID)) return [...found]
    const isUsed = state.containers.some((container) => container.parent === parent.chain.at(-1))
    if (isUsed || childrenOf(state, parent.imageID).length > 1) return [...found]
    found.add(parent.imageID)
    child = parent
  }
}

function layersOf({images, layers}: StoreState, imageIDs: readonly Digest[]): Set<string> {
  return withAllBelow(
    layers,
    // One of them may have lost what is below it.
    imageIDs.flatMap((imageID) => images.get(imageID)?.chain ?? []),
  )
}

function used({imageID}: ImageState, why: string): ImgtoolError {
  return new ImgtoolError('IMAGE_USED', `Cannot remove image ${shortID(imageID)}: ${why}`)
}
