/** Finds what is damaged in docker's data-root and what was left there, and cleans it up. */
import {createHash} from 'node:crypto'
import type {Blob} from './archive/archive.ts'
import {type Digest, shortID} from './digest.ts'
import type {DriverName} from './driver/driver.ts'
import {findMountOfPlace} from './driver/mounts.ts'
import {isPlaceID} from './driver/place-id.ts'
import {defaultLimits} from './limits.ts'
import {forgottenContainers, planRepair, repairStore} from './repair-store.ts'
import {layerFile, layerPath, metadataRoot} from './store/layout.ts'
import {lockStore} from './store/lock.ts'
import type {ContainerState, LayerState, StoreState} from './store/state.ts'
import {type StoredLayerFacts, StoreLayers} from './store/store-layers.ts'
import {type StoreFinding, type Survey, surveyStore} from './store/survey.ts'
import {type KeptStore, openKeptStore, type StoreOptions} from './store-status.ts'
import {printable, printableText} from './text.ts'
import {isAboutData} from './verify/findings.ts'

export type {StoreFinding} from './store/survey.ts'

export interface CheckStoreOptions extends StoreOptions {
  /** Mend what can be, and remove what was left. @default false */
  readonly repair?: boolean
  /** Say what a repair would do, and write nothing. @default false */
  readonly dryRun?: boolean
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
  /** What was done, or would be, one sentence each. */
  readonly repairs: readonly string[]
}

/** Whether nothing is damaged and nothing was left. */
export function isClean({findings}: StoreCheck): boolean {
  return findings.every(({severity}) => severity === 'note')
}

/**
 * Checks a data-root on which no daemon runs; runs of imgtool may be at work there. Without `repair` nothing is written.
 * A repair removes no image, nothing that could be a part of one, what containers need, or what other runs are making.
 *
 * @throws {ImgtoolError} SOURCE_NOT_FOUND, PERMISSION_DENIED, FORMAT_UNKNOWN, IMAGE_AMBIGUOUS for several drivers, LIMIT_EXCEEDED;
 *   STORE_INVALID where names cannot be read and are to be repaired
 */
export async function checkStore(store: string, options: CheckStoreOptions = {}): Promise<StoreCheck> {
  using kept = await openKeptStore(store, options)
  const repair = options.dryRun ? planRepair : repairStore
  const repairs = options.repair ? await repair(kept, store, options) : []
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

function forgotten({id, places}: ContainerState): StoreFinding {
  const point = printable(findMountOfPlace(places)!.point)
  const message = `Container ${id} is still mounted on "${point}", and shown nowhere else`
  return {severity: 'note', code: 'MOUNT_FORGOTTEN', subject: id, message}
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
