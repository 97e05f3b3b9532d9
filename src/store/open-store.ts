/**
 * Opens a docker data-root as what `docker save` would make of it: an archive whose layers are put together as they are read.
 * Whatever reads images of archives reads those of a store.
 */
import type {Archive, Blob, Member} from '../archive/archive.ts'
import {findBlob} from '../archive/names.ts'
import type {Digest} from '../digest.ts'
import {ImgtoolError, isImgtoolError} from '../errors.ts'
import type {ConfigFacts} from '../image/config.ts'
import {whyMissing} from '../image/missing.ts'
import type {Image, ImageSet, LostImage} from '../image/model.ts'
import {readImages} from '../image/read-images.ts'
import type {Limits} from '../limits.ts'
import {type ByteString, printableText} from '../text.ts'
import {readGraph} from './graph.ts'
import {configsName, graphName, graphRepositoriesName, metadataRoot, type StoreDriver, storeDrivers} from './layout.ts'
import {readMetadata, readOneImage} from './metadata.ts'
import {StoreFiles} from './store-files.ts'
import {StoreLayers} from './store-layers.ts'

/** What a store holds, as members of an archive. */
export interface StoreMembers {
  readonly members: Map<ByteString, Member>
  /** What is damaged or odd, one sentence each. */
  readonly warnings: string[]
  /** Images that are no members, with why. */
  readonly lost?: readonly LostImage[]
  /** Why layers are not there, by the names that they would have. */
  readonly missing?: ReadonlyMap<ByteString, string>
}

/** An open data-root. Whoever opened it closes it. */
export interface Store {
  readonly driver: StoreDriver
  readonly archive: Archive
  /** @throws {ImgtoolError} IMAGE_NOT_FOUND for a store without images, and whatever reading documents throws */
  readImages(): Promise<ImageSet>
}

/**
 * Opens a data-root. Configs and what leads to layers are read; of the layers, nothing.
 *
 * @param path of the data-root
 * @param driver whose images are meant; by default the only one there is
 * @throws {ImgtoolError} SOURCE_NOT_FOUND, PERMISSION_DENIED, FORMAT_UNKNOWN for what is no data-root, IMAGE_AMBIGUOUS where
 *   several drivers have images, LIMIT_EXCEEDED
 */
export function openStore(path: string, driver: string | undefined, limits: Limits): Store {
  try {
    const files = new StoreFiles(path)
    try {
      return openFiles(files, path, driver, limits)
    } catch (error) {
      files.close()
      throw error
    }
  } catch (error) {
    throw error instanceof ImgtoolError ? error.within({archive: path}) : error
  }
}

function openFiles(files: StoreFiles, path: string, wanted: string | undefined, limits: Limits): Store {
  const {driver, isGraph} = chooseDriver(files, path, wanted)
  const layers = new StoreLayers(files, driver, limits)
  return openMembers((isGraph ? readGraph : readMetadata)(files, layers, limits), files, path, layers, limits)
}

/**
 * Opens a data-root as an archive of one image, whose config need not be there.
 *
 * @throws {ImgtoolError} as {@link openStore}
 */
export function openOneImage(path: string, driver: StoreDriver, config: ConfigFacts, limits: Limits): Store {
  const files = new StoreFiles(path)
  try {
    const layers = new StoreLayers(files, driver, limits)
    return openMembers(readOneImage(config, files, layers, limits), files, path, layers, limits)
  } catch (error) {
    files.close()
    throw error
  }
}

/** @param files is closed with the archive */
function openMembers(read: StoreMembers, files: StoreFiles, path: string, layers: StoreLayers, limits: Limits): Store {
  const {members} = read
  const close = async () => {
    layers.close()
    files.close()
  }
  const archive: Archive = {
    label: path,
    kind: 'directory',
    members,
    blob: (name) => findBlob(members, name),
    close,
    [Symbol.asyncDispose]: close,
  }
  return {driver: layers.driver, archive, readImages: () => readStoreImages(archive, layers, read, limits)}
}

/**
 * Finds the driver whose images or layers are meant.
 *
 * @throws {ImgtoolError} FORMAT_UNKNOWN, IMAGE_AMBIGUOUS
 */
export function chooseDriver(
  files: StoreFiles,
  path: string,
  wanted: string | undefined,
): {driver: StoreDriver; isGraph: boolean} {
  const found = listDrivers(files)
  const isGraph = found.length === 0 && files.list(graphName) !== undefined
  const names = isGraph ? storeDrivers.filter((driver) => files.isFile(graphRepositoriesName(driver))) : found
  if (names.length === 0 && !isGraph) throw noStore(path)
  // Docker's overlay2 is called overlay, too, where there is no other one.
  const meant = wanted === 'overlay' && !names.includes(wanted) ? 'overlay2' : wanted
  const choices = meant === undefined ? names : names.filter((name) => name === meant)
  const [driver] = choices
  if (driver === undefined) throw noDriver(wanted ?? 'a driver that is known', names)
  if (choices.length > 1) throw severalDrivers(path, choices)
  const known = storeDrivers.find((name) => name === driver)
  if (known === undefined) throw noDriver(driver, names)
  return {driver: known, isGraph}
}

/** Drivers that docker has images of. */
function listDrivers(files: StoreFiles): string[] {
  const names = files.list('image') ?? []
  const hasImages = (name: string) => (files.list(`${metadataRoot(name)}/${configsName}`) ?? []).length > 0
  return names.filter((name) => files.isDirectory(metadataRoot(name)) && hasImages(name))
}

function noStore(path: string): ImgtoolError {
  const looksLike = 'it holds neither images of a driver ("image/") nor those of docker before 1.10 ("graph/")'
  return new ImgtoolError(
    'FORMAT_UNKNOWN',
    `Cannot read "${printableText(path)}" as a docker data-root: ${looksLike}`,
    {
      hint: 'Give the directory that is /var/lib/docker on a running host',
    },
  )
}

function noDriver(wanted: string, names: readonly string[]): ImgtoolError {
  const [there, read] = [names.map((name) => printableText(name)).join(', ') || 'none', storeDrivers.join(', ')]
  const message = `Cannot read images of ${printableText(wanted)}: the data-root has ${there}, and ${read} can be read`
  return new ImgtoolError('FORMAT_UNKNOWN', message)
}

function severalDrivers(path: string, names: readonly string[]): ImgtoolError {
  const choices = names.map((name) => `docker-root:${path}:${name}`).join(', ')
  const message = `Cannot choose among the drivers of "${printableText(path)}"`
  return new ImgtoolError('IMAGE_AMBIGUOUS', message, {hint: printableText(`Name one: ${choices}`)})
}

/** Layers that are made anew have other diffIDs than their configs say. */
async function readStoreImages(
  archive: Archive,
  layers: StoreLayers,
  {warnings, lost = [], missing}: StoreMembers,
  limits: Limits,
): Promise<ImageSet> {
  const set = await readAny(archive, warnings, limits)
  const rebuilt = new Set<Blob>()
  const images = set.images.map((image) => ({
    ...image,
    ...whyBroken(image, missing),
    layers: image.layers.map((layer) => {
      if (!layers.isRebuilt(layer.blob)) return layer
      rebuilt.add(layer.blob)
      const {diffID, digest: _, ...others} = layer
      return {...others, ...(diffID !== undefined && {lostDiffID: diffID as Digest})}
    }),
  }))
  return {...set, images, lost, warnings: [...set.warnings, ...warnings, ...warnOfRebuilt(rebuilt.size, set)]}
}

/** Where nothing can be read, it is an error, which has to say what is wrong. */
async function readAny(archive: Archive, [warning]: readonly string[], limits: Limits): Promise<ImageSet> {
  try {
    return await readImages(archive, limits)
  } catch (error) {
    if (!isImgtoolError(error) || error.code !== 'IMAGE_NOT_FOUND' || warning === undefined) throw error
    throw new ImgtoolError(error.code, `Cannot find an image in the data-root: ${warning}`, error.details)
  }
}

/** The store knows why a layer is not there. */
function whyBroken({layers}: Image, missing: StoreMembers['missing']): Pick<Image, 'broken'> {
  const layer = layers.find(({blob}) => whyMissing(blob) !== undefined)
  const why = layer && missing?.get(layer.blob.name)
  if (why === undefined) return {}
  const message = `Cannot find layer ${layer!.index} (${layer!.diffID}) in the store: ${why}`
  return {broken: new ImgtoolError('BLOB_MISSING', message, {layer: layer!.index})}
}

function warnOfRebuilt(count: number, {format}: ImageSet): string[] {
  if (count === 0) return []
  const what = count === 1 ? '1 layer has no tar-split and is' : `${count} layers have no tar-split and are`
  const result = format === 'docker-v1' ? '' : ': with their diffIDs, the IDs of images change where they are written'
  return [`${what} made anew of files${result}`]
}
