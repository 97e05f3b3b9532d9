/** What a container of a stopped docker has changed, or the topmost layer of an image. */
import type {DriverName, PlaceID} from './driver/driver.ts'
import {isPlaceID} from './driver/place-id.ts'
import type {ChangeKind} from './driver/union-changes.ts'
import {ImgtoolError} from './errors.ts'
import {findName, findStored, isImageID} from './find-stored.ts'
import {defaultLimits, type Limits} from './limits.ts'
import type {StoredContainer} from './store/containers.ts'
import {lockStore} from './store/lock.ts'
import {type KeptStore, openKeptStore} from './store-status.ts'
import {type ByteString, printableText} from './text.ts'

export interface ListChangesOptions {
  /** Whose containers and images are meant. @default the only one there is */
  readonly driver?: DriverName | undefined
  readonly limits?: Limits | undefined
  readonly signal?: AbortSignal | undefined
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
 * Lists what `docker diff` lists: of a container what it has changed, of an image what its topmost layer has. What a
 * daemon writes there meanwhile may be seen in part. Reads no contents; with overlay2 and aufs only directories that the layer has, with vfs two whole trees.
 *
 * @param store docker's data-root
 * @param name of a container, or the first 12 or more digits of its id; else of an image, likewise
 * @throws {ImgtoolError} SOURCE_NOT_FOUND, FORMAT_UNKNOWN, IMAGE_NOT_FOUND, IMAGE_AMBIGUOUS, STORE_INVALID, PERMISSION_DENIED
 */
export async function listChanges(
  store: string,
  name: string,
  {driver: wanted, limits = defaultLimits, signal}: ListChangesOptions = {},
): Promise<ListedChanges> {
  const {findContainer} = await import('./store/containers.ts')
  using kept = await openKeptStore(store, {driver: wanted, limits})
  const {driver} = kept
  const find = async () => {
    using _ = await lockStore(store, signal)
    const container = findContainer(kept.files, driver.name, name, limits)
    return container === undefined ? findImage(kept, name) : layeredOf(container)
  }
  const {place, parent, ...ids} = await find()
  return {driver: driver.name, ...ids, changes: driver.contents.changes(place, parent)}
}

function layeredOf({id, imageID, place, parent}: StoredContainer): Layered {
  return {containerID: id, ...(imageID !== undefined && {imageID}), place, parent}
}

function findImage(kept: KeptStore, name: string): Layered {
  const state = kept.readState()
  if (findName(state, name) === undefined && !isImageID(state, name))
    throw new ImgtoolError(
      'IMAGE_NOT_FOUND',
      `Cannot find a container or an image "${printableText(name)}" in the store`,
      {
        hint: 'Run: imgtool store list',
      },
    )
  const refuse = (code: 'STORE_INVALID' | 'IMAGE_UNSUITABLE', why: string) =>
    new ImgtoolError(code, `Cannot list changes of the image "${printableText(name)}": ${why}`)
  const image = findStored(state, name)
  if (image?.facts === undefined) throw refuse('STORE_INVALID', image?.fault ?? 'it is not there')
  const {imageID, chain} = image
  if (chain.length === 0) throw refuse('IMAGE_UNSUITABLE', 'it has no layer that could change anything')
  const places = chain.slice(-2).map((chainID) => state.layers.get(chainID)?.cacheID ?? '')
  const lost = places.findIndex((place) => !isPlaceID(place))
  if (lost >= 0) throw refuse('STORE_INVALID', `its layer ${chain.slice(-2)[lost]} is missing`)
  return {imageID, place: places.at(-1)!, parent: places.at(-2)}
}
