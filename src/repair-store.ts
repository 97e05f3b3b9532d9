/** Mends what is damaged in docker's data-root, and removes what nobody needs: nothing goes that could be a part of an image. */
import type {Digest} from './digest.ts'
import type {PlaceID} from './driver/driver.ts'
import {isForgotten} from './driver/mounts.ts'
import {removeTree} from './driver/remove.ts'
import {ImgtoolError} from './errors.ts'
import {splitPath} from './layer/path.ts'
import * as os from './os/libc.ts'
import {findLostRecords, findLostSizes, type LayerRecord, measureLayer} from './store/layer-records.ts'
import {metadataRoot} from './store/layout.ts'
import {lockStore} from './store/lock.ts'
import type {ContainerState, LayerState, StoreState} from './store/state.ts'
import type {StoreFiles} from './store/store-files.ts'
import {type Survey, surveyStore} from './store/survey.ts'
import {StoreWriter} from './store/writer.ts'
import type {KeptStore, StoreOptions} from './store-status.ts'
import {printableText} from './text.ts'

/** What is done, as of the past and of what would be. */
const verbs = {
  Unmounted: 'unmount',
  Mended: 'mend',
  Linked: 'link',
  Removed: 'remove',
  Wrote: 'write',
} as const

/** One thing that a repair does. */
type Step = readonly [verb: keyof typeof verbs, what: string]

/**
 * Repairs a data-root on which no daemon runs.
 *
 * @returns what was done, one sentence each
 * @throws {ImgtoolError} STORE_INVALID where names cannot be read, LIMIT_EXCEEDED, STORE_IN_USE, PERMISSION_DENIED
 */
export async function repairStore(kept: KeptStore, store: string, {signal}: StoreOptions): Promise<string[]> {
  using writer = new StoreWriter(store, kept.driver)
  using _ = await writer.lock(signal)
  const state = kept.readState()
  requireReadable(kept, state)
  const mended = mend(kept, state, writer)
  // What was mended makes layers and images whole again.
  const removed = clean(kept, surveyStore({...kept, state: kept.readState()}), writer)
  return [...mended, ...removed].map(([verb, what]) => `${verb} ${what}`)
}

/** As {@link repairStore}, of what that would do, as far as no other run is at work. Nothing is written. */
export async function planRepair(kept: KeptStore, store: string, {signal}: StoreOptions): Promise<string[]> {
  using _ = await lockStore(store, signal)
  const {driver} = kept
  const state = kept.readState()
  requireReadable(kept, state)
  const records = findLostRecords(state)
  const sizes = findLostSizes(state, driver)
  const written = withRecords(state, records, sizes)
  const places = surveyStore({...kept, state: written}).damagedPlaces.filter(({id, near}) => driver.canMend(id, near))
  const mended = new Set(places.map(({id}) => id))
  const found = surveyStore({...kept, state: written, mended})
  const cleaned = {...found, layers: layersToRemove(found), remains: driver.remains(), places: found.leftPlaces}
  const steps = [
    ...forgottenContainers(kept, state).map(unmounted),
    ...records.map(rewritten),
    ...places.map(linked),
    ...sizes.map(measured),
    ...cleaningSteps(cleaned),
  ]
  return steps.map(([verb, what]) => `Would ${verbs[verb]} ${what}`)
}

/** Containers of imgtool that somebody unmounted otherwise: docker's may be at work without their daemon. */
export function forgottenContainers({files}: KeptStore, {containers}: StoreState): ContainerState[] {
  return containers.filter(({id, places}) => isForgotten(places) && !files.isDirectory(`containers/${id}`))
}

function requireReadable({driver}: KeptStore, {namesFault, images}: StoreState): void {
  if (namesFault !== undefined)
    throw new ImgtoolError('STORE_INVALID', `Cannot repair the store: Names cannot be read: ${namesFault}`, {
      hint: `Move "${metadataRoot(driver.name)}/repositories.json" away; images keep their IDs`,
    })
  // What is only too large for a limit can be read with a higher one.
  const limit = [...images.values()].map((image) => image.limit).find((error) => error !== undefined)
  if (limit !== undefined) throw limit
}

function mend(kept: KeptStore, state: StoreState, writer: StoreWriter): Step[] {
  const {driver} = kept
  const forgotten = forgottenContainers(kept, state)
  for (const {places} of forgotten) driver.put(places[0]!)
  const records = findLostRecords(state)
  for (const record of records) writer.rewriteLayer(record)
  const written = withRecords(state, records, [])
  const {damagedPlaces} = surveyStore({...kept, state: written})
  const places = damagedPlaces.filter(({id, near}) => driver.mend(id, near))
  const sizes = findLostSizes(written, driver).filter(({chainID, cacheID, parent = ''}) => {
    const size = measureLayer(driver, cacheID, written.layers.get(parent)?.cacheID)
    if (size !== undefined) writer.writeSize(chainID, size)
    return size !== undefined
  })
  return [...forgotten.map(unmounted), ...records.map(rewritten), ...places.map(linked), ...sizes.map(measured)]
}

/** The state once they are written. */
function withRecords(state: StoreState, records: readonly LayerRecord[], sizes: readonly LayerState[]): StoreState {
  const layers = new Map(state.layers)
  for (const record of records) layers.set(record.chainID, {...layers.get(record.chainID)!, ...record})
  for (const {chainID} of sizes) layers.set(chainID, {...layers.get(chainID)!, size: 0})
  return {...state, layers}
}

const unmounted = ({id}: ContainerState): Step => ['Unmounted', `the container ${id}`]
const rewritten = ({chainID}: LayerRecord): Step => ['Mended', `the ids of layer ${chainID}`]
const linked = ({id}: {readonly id: string}): Step => ['Linked', `the place ${id} again`]
const measured = ({chainID}: LayerState): Step => ['Mended', `the size of layer ${chainID}`]

function clean({files, driver}: KeptStore, found: Survey, writer: StoreWriter): Step[] {
  const layers = writer.isAlone() ? layersToRemove(found) : []
  writer.removeNames(found.lostNames)
  writer.respellNames(found.unreachableNames)
  for (const id of found.lostContainers) writer.removeContainer(id)
  for (const chainID of layers) writer.removeLayer(chainID)
  for (const path of found.temporaries) removePath(files, path)
  const remains = driver.remains()
  return cleaningSteps({...found, layers, remains, places: writer.removeLeftovers()})
}

function layersToRemove({knowsLayers, unusedLayers}: Survey): readonly Digest[] {
  return knowsLayers ? unusedLayers : []
}

interface Cleaned extends Pick<Survey, 'lostNames' | 'unreachableNames' | 'lostContainers' | 'temporaries'> {
  readonly layers: readonly Digest[]
  /** Paths. */
  readonly remains: readonly string[]
  readonly places: readonly PlaceID[]
}

function cleaningSteps(cleaned: Cleaned): Step[] {
  const {lostNames, unreachableNames, lostContainers, layers, temporaries, remains, places} = cleaned
  const removed = (what: string): Step => ['Removed', what]
  return [
    ...lostNames.map((name) => removed(`the name "${printableText(name)}"`)),
    ...unreachableNames.map((name): Step => ['Wrote', `the name "${printableText(name)}" as docker looks for it`]),
    ...lostContainers.map((id) => removed(`the container ${id}`)),
    ...layers.map((chainID) => removed(`the layer ${chainID}`)),
    ...[...temporaries, ...remains].map((path) => removed(`"${printableText(path)}"`)),
    ...places.map((id) => removed(`the place ${id}`)),
  ]
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
