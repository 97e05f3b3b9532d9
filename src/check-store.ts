/** Finds what is damaged in docker's data-root and what was left there, and cleans it up. */
import {createHash} from 'node:crypto'
import type {Blob} from './archive/archive.ts'
import {type Digest, shortID} from './digest.ts'
import type {DriverName} from './driver/driver.ts'
import {findMountOfPlace, isForgotten} from './driver/mounts.ts'
import {isPlaceID} from './driver/place-id.ts'
import {removeTree} from './driver/remove.ts'
import {ImgtoolError} from './errors.ts'
import {splitPath} from './layer/path.ts'
import {defaultLimits} from './limits.ts'
import * as os from './os/libc.ts'
import {layerFile, layerPath, metadataRoot} from './store/layout.ts'
import {lockStore} from './store/lock.ts'
import type {ContainerState, LayerState, StoreState} from './store/state.ts'
import type {StoreFiles} from './store/store-files.ts'
import {type StoredLayerFacts, StoreLayers} from './store/store-layers.ts'
import {type StoreFinding, type Survey, surveyStore} from './store/survey.ts'
import {StoreWriter} from './store/writer.ts'
import {type KeptStore, openKeptStore, type StoreOptions} from './store-status.ts'
import {printable, printableText} from './text.ts'
import {isAboutData} from './verify/findings.ts'

export type {StoreFinding} from './store/survey.ts'

export interface CheckStoreOptions extends StoreOptions {
  /** Remove what was left, and what refers to what is not there. @default false */
  readonly repair?: boolean
  /** Read every layer, and compare it with its diffID. @default false */
  readonly layers?: boolean
  /** Called for each layer that is read. */
  readonly onLayer?: (done: number, layers: number) => void
}

export interface StoreCheck {
  readonly driver: DriverName
  readonly images: number
  readonly layers: number
  /** What is wrong now; after a repair, what it left. */
  readonly findings: readonly StoreFinding[]
  /** What was done, one sentence each. */
  readonly repairs: readonly string[]
}

/** Whether nothing is damaged and nothing was left. */
export function isClean({findings}: StoreCheck): boolean {
  return findings.every(({severity}) => severity === 'note')
}

/**
 * Checks a data-root on which no daemon runs; runs of imgtool may be at work there. Without `repair` nothing is written.
 * A repair leaves every image alone that is whole, what containers need, and what other runs are making.
 *
 * @throws {ImgtoolError} SOURCE_NOT_FOUND, PERMISSION_DENIED, FORMAT_UNKNOWN, IMAGE_AMBIGUOUS for several drivers, LIMIT_EXCEEDED;
 *   STORE_INVALID where names cannot be read and are to be repaired
 */
export async function checkStore(store: string, options: CheckStoreOptions = {}): Promise<StoreCheck> {
  using kept = await openKeptStore(store, options)
  const repairs = options.repair ? await repairStore(kept, store, options) : []
  const {state, survey} = await lookAt(kept, store, options)
  const changed = options.layers ? await compareLayers(kept, state, options) : []
  return {
    driver: kept.driver.name,
    images: state.images.size,
    layers: state.layers.size,
    findings: [...survey.findings, ...changed],
    repairs,
  }
}

async function lookAt(
  kept: KeptStore,
  store: string,
  {signal}: StoreOptions,
): Promise<{state: StoreState; survey: Survey}> {
  using _ = await lockStore(store, signal)
  const state = kept.readState()
  const survey = surveyStore({...kept, state})
  return {
    state,
    survey: {...survey, findings: [...survey.findings, ...forgottenContainers(kept, state).map(forgotten)]},
  }
}

/** Containers of imgtool that somebody unmounted otherwise: docker's may be at work without their daemon. */
function forgottenContainers({files}: KeptStore, {containers}: StoreState): ContainerState[] {
  return containers.filter(({id, places}) => isForgotten(places) && !files.isDirectory(`containers/${id}`))
}

function forgotten({id, places}: ContainerState): StoreFinding {
  const point = printable(findMountOfPlace(places)!.point)
  const message = `Container ${id} is still mounted on "${point}", and shown nowhere else`
  return {severity: 'note', code: 'MOUNT_FORGOTTEN', subject: id, message}
}

async function repairStore(kept: KeptStore, store: string, {signal}: StoreOptions): Promise<string[]> {
  using writer = new StoreWriter(store, kept.driver)
  using _ = await writer.lock(signal)
  const {driver, files} = kept
  const state = kept.readState()
  const before = surveyStore({...kept, state})
  const damagedNames = before.findings.find(({code}) => code === 'NAMES_DAMAGED')
  if (damagedNames !== undefined) {
    throw new ImgtoolError('STORE_INVALID', `Cannot repair the store: ${damagedNames.message}`, {
      hint: `Move "${metadataRoot(driver.name)}/repositories.json" away; images keep their IDs`,
    })
  }
  requireLimits(state)
  const unmounted = forgottenContainers(kept, state)
  for (const {places} of unmounted) driver.put(places[0]!)
  const mended = before.damagedPlaces.filter(({id, near}) => driver.mend(id, near))
  // What was mended makes layers and images whole again.
  const found = mended.length === 0 ? before : surveyStore({...kept, state: kept.readState()})
  const unused = writer.isAlone() ? found.unusedLayers : []
  writer.removeNames(found.lostNames)
  writer.respellNames(found.unreachableNames)
  for (const imageID of found.damagedImages) writer.removeImage(imageID)
  for (const id of found.lostContainers) writer.removeContainer(id)
  for (const chainID of [...found.damagedLayers, ...unused]) writer.removeLayer(chainID)
  for (const path of found.temporaries) removePath(files, path)
  const remains = driver.remains()
  const places = writer.removeLeftovers()
  return [
    ...unmounted.map(({id}) => `Unmounted the container ${id}`),
    ...mended.map(({id}) => `Linked the place ${id} again`),
    ...found.lostNames.map((name) => `Removed the name "${printableText(name)}"`),
    ...found.unreachableNames.map((name) => `Wrote the name "${printableText(name)}" as docker looks for it`),
    ...found.damagedImages.map((imageID) => `Removed the image ${imageID}`),
    ...found.lostContainers.map((id) => `Removed the container ${id}`),
    ...[...found.damagedLayers, ...unused].map((chainID) => `Removed the layer ${chainID}`),
    ...[...found.temporaries, ...remains].map((path) => `Removed "${printableText(path)}"`),
    ...places.map((id) => `Removed the place ${id}`),
  ]
}

/** What is only too large for a limit can be read with a higher one. */
function requireLimits({images}: StoreState): void {
  const limit = [...images.values()].map((image) => image.limit).find((error) => error !== undefined)
  if (limit !== undefined) throw limit
}

function removePath(files: StoreFiles, path: string): void {
  const {directory, name} = splitPath(path)
  const parent = files.directory(directory)
  if (parent === undefined) return
  try {
    removeTree(parent, name)
  } finally {
    os.close(parent)
  }
}

/** Puts every layer together that can be, and reads it all. */
async function compareLayers(
  {files, driver}: KeptStore,
  {layers, images, names}: StoreState,
  {limits = defaultLimits, signal, onLayer}: CheckStoreOptions,
): Promise<StoreFinding[]> {
  const reader = new StoreLayers(files, driver.name, limits)
  try {
    const findings: StoreFinding[] = []
    const namesOf = Map.groupBy(names.keys(), (name) => names.get(name))
    const isThere = ({cacheID}: LayerState) => isPlaceID(cacheID) && driver.exists(cacheID)
    // All are told to the reader first: files of one may be where symlinks of those below it lead.
    const blobs = [...layers.values()].filter(isThere).map((layer) => {
      const parentCacheID = layers.get(layer.parent ?? '')?.cacheID
      return {layer, blob: reader.blob(factsOf(layer, driver.name, parentCacheID))}
    })
    const readable = blobs.filter(({layer}) => layer.hasTarSplit)
    for (const [at, {layer, blob}] of readable.entries()) {
      onLayer?.(at, readable.length)
      const fault = blob === undefined ? 'its files are missing' : await compareLayer(blob, layer, signal)
      if (fault === undefined) continue
      const users = [...images.values()].filter(({chain}) => chain.includes(layer.chainID))
      const of = listNames(users.map(({imageID}) => namesOf.get(imageID)?.[0] ?? shortID(imageID)))
      const message = `Layer ${layer.chainID}${of} is not what it was: ${fault}`
      findings.push({severity: 'damage', code: 'LAYER_CHANGED', subject: layer.chainID, message})
    }
    return findings
  } finally {
    reader.close()
  }
}

const shownNames = 5

function listNames(names: readonly string[]): string {
  if (names.length === 0) return ''
  const more = names.length > shownNames ? ` and ${names.length - shownNames} more` : ''
  return ` of ${names.slice(0, shownNames).map(printableText).join(', ')}${more}`
}

function factsOf(
  {chainID, cacheID, size, hasTarSplit}: LayerState,
  driver: DriverName,
  parentCacheID: string | undefined,
): StoredLayerFacts {
  const tarSplit = `${metadataRoot(driver)}/${layerPath(chainID)}/${layerFile.tarSplit}`
  return {
    name: layerPath(chainID),
    cacheID,
    parentCacheID: parentCacheID !== undefined && isPlaceID(parentCacheID) ? parentCacheID : undefined,
    tarSplit: hasTarSplit ? tarSplit : undefined,
    filesSize: size,
  }
}

/** @returns what is wrong with its bytes */
async function compareLayer(
  blob: Blob,
  {diffID}: LayerState,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  try {
    const hash = createHash('sha256')
    for await (const chunk of blob.stream()) {
      signal?.throwIfAborted()
      hash.update(chunk)
    }
    const actual: Digest = `sha256:${hash.digest('hex')}`
    return actual === diffID ? undefined : `its files and tar-split give ${actual}, expected ${diffID}`
  } catch (error) {
    if (!isAboutData(error)) throw error
    return error.message
  }
}
