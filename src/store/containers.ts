/** The containers of a store: what they have written, and what that lies upon. */
import * as v from 'valibot'
import {type Digest, isDigest, isID} from '../digest.ts'
import type {PlaceID} from '../driver/driver.ts'
import {isPlaceID} from '../driver/place-id.ts'
import {ImgtoolError} from '../errors.ts'
import {parseDocument} from '../image/json.ts'
import type {Limits} from '../limits.ts'
import {printableText} from '../text.ts'
import {tolerate} from './damage.ts'
import {containerFile, containerPath, containersName, layerFile, layerPath, metadataRoot} from './layout.ts'
import type {StoreFiles} from './store-files.ts'

/** What a container is called. */
export interface ContainerNames {
  readonly id: string
  /** Undefined for a container that imgtool made, and where docker's own file of it is lost. */
  readonly name: string | undefined
  /** The image that it was made of, which need not be there any more; undefined where nothing says it. */
  readonly imageID: Digest | undefined
}

export interface StoredContainer extends ContainerNames {
  /** ChainID of the layers of that image; undefined for a container of nothing. */
  readonly chainID: string | undefined
  /** When imgtool made it; undefined where docker did, whose document says it. */
  readonly created: string | undefined
  readonly place: PlaceID
  /** What the place lies upon; undefined for a container of nothing. */
  readonly parent: PlaceID | undefined
  /** Exact bytes of docker's own file of it; undefined where that is lost. */
  readonly document: Buffer | undefined
}

const containerSchema = v.object({Name: v.string(), Image: v.optional(v.string())})

/**
 * Finds a container.
 *
 * @param wanted its name, or the first 12 or more digits of its id
 * @returns undefined where there is none
 * @throws {ImgtoolError} IMAGE_AMBIGUOUS where several ids begin so, STORE_INVALID for a container that is damaged
 */
export function findContainer(
  files: StoreFiles,
  driver: string,
  wanted: string,
  limits: Limits,
): StoredContainer | undefined {
  const all = listContainers(files, driver, limits)
  const named = all.filter(({name}) => name === wanted)
  const isPrefix = /^[0-9a-f]{12,64}$/.test(wanted)
  const found = named.length > 0 ? named : all.filter(({id}) => isPrefix && id.startsWith(wanted))
  if (found.length > 1) throw ambiguous(wanted, found)
  const [names] = found
  if (names === undefined) return undefined
  const {id} = names
  const fact = (name: keyof typeof containerFile) => readFact(files, driver, id, name)
  const chainID = fact('parent')
  return {
    ...names,
    chainID,
    created: fact('created'),
    place: requirePlace(fact('mountID'), id),
    parent: parentOf(files, driver, id, {initID: fact('initID'), chainID}),
    document: readDocument(files, id, limits)?.bytes,
  }
}

/** Lists them all, sorted by id; what damaged files say of one is lost. */
export function listContainers(files: StoreFiles, driver: string, limits: Limits): ContainerNames[] {
  const ids = (files.list(`${metadataRoot(driver)}/${containersName}`) ?? []).filter(isID)
  return ids.map((id) => {
    const document = readDocument(files, id, limits)
    const imageID = document?.Image ?? tolerate(() => readFact(files, driver, id, 'imageID'))
    return {id, name: document?.Name.replace(/^\//, ''), imageID: isDigest(imageID) ? imageID : undefined}
  })
}

function readFact(files: StoreFiles, driver: string, id: string, name: keyof typeof containerFile): string | undefined {
  return files.line(`${metadataRoot(driver)}/${containersName}/${id}/${containerFile[name]}`)
}

/** What a damaged one says is lost; the files of the container are not. */
function readDocument(files: StoreFiles, id: string, limits: Limits) {
  const path = containerPath(id)
  return tolerate(() => {
    const bytes = files.read(path, limits.document)
    return bytes && {bytes, ...parseDocument(bytes, path, containerSchema)}
  })
}

function parentOf(
  files: StoreFiles,
  driver: string,
  id: string,
  {initID, chainID}: {readonly initID: string | undefined; readonly chainID: string | undefined},
): PlaceID | undefined {
  const parent = initID ?? (chainID === undefined ? undefined : placeOfLayer(files, driver, chainID))
  return parent === undefined ? undefined : requirePlace(parent, id)
}

/** The driver's id of a layer; empty where the store has none. */
function placeOfLayer(files: StoreFiles, driver: string, chainID: string): PlaceID {
  if (!isDigest(chainID)) return ''
  return files.line(`${metadataRoot(driver)}/${layerPath(chainID)}/${layerFile.cacheID}`) ?? ''
}

function requirePlace(place: string | undefined, id: string): PlaceID {
  if (place !== undefined && isPlaceID(place)) return place
  throw new ImgtoolError('STORE_INVALID', `The container ${id} is damaged: nothing says where its files are`)
}

function ambiguous(wanted: string, containers: readonly ContainerNames[]): ImgtoolError {
  const shown = containers.map(({id}) => id.slice(0, wanted.length + 4)).join(', ')
  return new ImgtoolError('IMAGE_AMBIGUOUS', `Several containers are called "${printableText(wanted)}": ${shown}`, {
    hint: 'Give more digits of the id',
  })
}
