/** What a container of a stopped docker has changed, or the topmost layer of an image. */
import type {Digest} from './digest.ts'
import type {DriverName, PlaceID} from './driver/driver.ts'
import type {ChangeKind} from './driver/union-changes.ts'
import {ImgtoolError} from './errors.ts'
import {chainIDs} from './image/chain.ts'
import {defaultLimits, type Limits} from './limits.ts'
import {openSource, selectImage} from './open.ts'
import {openDriver} from './open-driver.ts'
import type {StoreFiles} from './store/store-files.ts'
import {type ByteString, printableText} from './text.ts'
import {requireSystem} from './unpack.ts'

export interface ListChangesOptions {
  /** Whose containers and images are meant. @default the only one there is */
  readonly driver?: string | undefined
  readonly limits?: Limits | undefined
}

export interface ListedChanges {
  readonly driver: DriverName
  /** Of the container, where it is one. */
  readonly containerID?: string
  readonly imageID?: string
  /** Sorted by bytes, directories before what is in them. */
  readonly changes: readonly {readonly kind: ChangeKind; readonly path: ByteString}[]
}

/** Two places of a driver, the one upon the other. */
interface Layered extends Pick<ListedChanges, 'containerID' | 'imageID'> {
  readonly place: PlaceID
  readonly parent: PlaceID | undefined
}

/**
 * Lists what `docker diff` lists: of a container what it has changed, of an image what its topmost layer has. No daemon may run
 * on the store. Reads no contents; with overlay2 and aufs only directories that the layer has, with vfs two whole trees.
 *
 * @param store docker's data-root
 * @param name of a container, its id or how that begins; else an image as in a reference
 * @throws {ImgtoolError} SOURCE_NOT_FOUND, FORMAT_UNKNOWN, IMAGE_NOT_FOUND, IMAGE_AMBIGUOUS, STORE_INVALID, PERMISSION_DENIED
 */
export async function listChanges(
  store: string,
  name: string,
  {driver: wanted, limits = defaultLimits}: ListChangesOptions = {},
): Promise<ListedChanges> {
  requireSystem()
  const {StoreFiles} = await import('./store/store-files.ts')
  const files = new StoreFiles(store)
  try {
    const driverName = await chooseDriver(files, store, wanted)
    const found =
      (await findContainer(files, driverName, name, limits)) ??
      (await findImage(files, store, name, driverName, limits))
    const {place, parent, ...ids} = found
    using driver = await openDriver(driverName, store)
    return {driver: driverName, ...ids, changes: driver.contents.changes(place, parent)}
  } finally {
    files.close()
  }
}

/**
 * The driver of a store whose places can be compared.
 *
 * @throws {ImgtoolError} FORMAT_UNKNOWN, IMAGE_AMBIGUOUS
 */
export async function chooseDriver(files: StoreFiles, store: string, wanted: string | undefined): Promise<DriverName> {
  const {chooseDriver: choose} = await import('./store/open-store.ts')
  const {driver, isGraph} = choose(files, store, wanted)
  if (driver !== 'overlay' && !isGraph) return driver
  const what = isGraph ? 'docker before 1.10' : 'the driver overlay'
  throw new ImgtoolError(
    'FORMAT_UNKNOWN',
    `Cannot read containers of "${printableText(store)}": it is a store of ${what}`,
  )
}

async function findContainer(
  files: StoreFiles,
  driver: DriverName,
  name: string,
  limits: Limits,
): Promise<Layered | undefined> {
  const containers = await import('./store/containers.ts')
  const found = containers.findContainer(files, driver, name, limits)
  if (found === undefined) return undefined
  const {id, imageID, place, parent} = found
  return {containerID: id, ...(imageID !== undefined && {imageID}), place, parent}
}

async function findImage(
  files: StoreFiles,
  store: string,
  name: string,
  driver: DriverName,
  limits: Limits,
): Promise<Layered> {
  const {placeOfLayer} = await import('./store/containers.ts')
  await using source = await openSource({transport: 'docker-root', path: store, driver, name}, {limits})
  const {imageID, layers} = selectImage(source)
  const chain = chainIDs(layers.map(({diffID, lostDiffID}) => (diffID ?? lostDiffID) as Digest))
  const [place, parent] = [chain.at(-1), chain.at(-2)].map((id) => id && placeOfLayer(files, driver, id))
  if (place === undefined)
    throw new ImgtoolError(
      'IMAGE_UNSUITABLE',
      `The image "${printableText(name)}" has no layer that could change anything`,
    )
  return {...(imageID !== undefined && {imageID}), place, parent}
}
