/** Makes an image of what a container of a stopped docker has written, in an archive or in the store itself. */
import type {Blob} from './archive/archive.ts'
import {rangeBlob} from './archive/file-range.ts'
import {spool} from './archive/spool.ts'
import {findConfig, openImage} from './container-image.ts'
import {type ConvertOptions, convertImages} from './convert.ts'
import type {Destination} from './destination.ts'
import {type Digest, sha256} from './digest.ts'
import type {Driver, DriverName} from './driver/driver.ts'
import {ImgtoolError} from './errors.ts'
import {commandOf, commitConfig} from './image/commit-config.ts'
import type {ConfigFacts} from './image/config.ts'
import {decodeString, parseDocument, type RawValue, splitArray, splitObject} from './image/go-json.ts'
import type {Image} from './image/model.ts'
import {inlineHasher} from './layer/hasher.ts'
import {defaultLimits, type Limits} from './limits.ts'
import {selectImage} from './open.ts'
import {openDriver} from './open-driver.ts'
import type {StoredContainer} from './store/containers.ts'
import {lockStore} from './store/lock.ts'
import {openKeptStore} from './store-status.ts'
import {endOfTar} from './tar/blocks.ts'
import {type ByteString, fromText, printableText, toText} from './text.ts'
import {requireSystem} from './unpack.ts'
import {type UnpackStoreOptions, unpackIntoStore} from './unpack-store.ts'

export interface CommitOptions extends ConvertOptions {
  /** Whose containers are meant. @default the only one there is */
  readonly driver?: DriverName | undefined
  /** To be committed on, where nothing says which image the container was made of. @default the one with its layers */
  readonly image?: string | undefined
  /** Of the step in the history. */
  readonly message?: string | undefined
}

export interface CommitResult {
  readonly containerID: string
  readonly imageID: Digest
  readonly names: readonly string[]
  /** Of the new layer; undefined where the container has changed nothing. */
  readonly diffID?: Digest
  /** Bytes of the files of the new layer. */
  readonly bytes: number
}

/**
 * Commits a container, as `docker commit` does: its changes become a layer on those of its image, and what it was run with
 * what the image runs with. The image is as old as the container's end, or as a container that imgtool made, so that the same
 * container gives the same image. Of an image that is gone the layers are enough.
 *
 * While a daemon runs on the store nothing can be added to it, and what a container writes may be read in part. The layer's tar is made in a file without a name in the temporary directory.
 *
 * @param store docker's data-root
 * @param name of the container, or the first 12 or more digits of its id
 * @param destination undefined to add the image to the store, under the names of the options
 * @throws {ImgtoolError} IMAGE_NOT_FOUND without the container, and as {@link findConfig}, {@link convertImages} and
 *   `unpackIntoStore`
 */
export async function commitContainer(
  store: string,
  name: string,
  destination: Destination | undefined,
  options: CommitOptions = {},
): Promise<CommitResult> {
  requireSystem()
  const {limits = defaultLimits} = options
  const {driverName, container, config} = await findContainer(store, name, options, limits)
  await using source = await openImage(store, driverName, config, limits)
  for (const message of source.set.warnings) options.onWarning?.({code: 'ARCHIVE', message})
  using driver = await openDriver(driverName, store)
  await using layer = await openLayer(driver, container, limits)
  const image = imageOf(container, selectImage(source), layer, options.message)
  const write = () =>
    destination === undefined
      ? unpackIntoStore({source, images: [image]}, store, driverName, storeOptionsOf(options))
      : convertImages(source, [image], destination, options)
  const result = await write()
  const {imageID, names} = result.images[0]!
  return {
    containerID: container.id,
    imageID,
    names,
    ...(layer.diffID !== undefined && {diffID: layer.diffID}),
    bytes: driver.contents.diffSize(container.place, container.parent),
  }
}

function storeOptionsOf({names, sync, threads, limits, onWarning, signal}: CommitOptions): UnpackStoreOptions {
  const given = {
    ...(names && {names}),
    ...(limits && {limits}),
    ...(onWarning && {onWarning}),
    ...(signal && {signal}),
    ...(sync && {sync}),
  }
  return {...given, threads}
}

async function findContainer(
  store: string,
  name: string,
  {driver, image: wanted, onWarning, signal}: CommitOptions,
  limits: Limits,
): Promise<{driverName: DriverName; container: StoredContainer; config: ConfigFacts}> {
  const containers = await import('./store/containers.ts')
  using kept = await openKeptStore(store, {driver, limits})
  using _ = await lockStore(store, signal)
  const driverName = kept.driver.name
  const container = containers.findContainer(kept.files, driverName, name, limits)
  if (container === undefined)
    throw new ImgtoolError('IMAGE_NOT_FOUND', `Cannot find container "${printableText(name)}" of ${driverName}`, {
      hint: 'Run: imgtool store list',
    })
  return {driverName, container, config: findConfig(kept.readState(), container, {wanted, limits, onWarning})}
}

/** The container's changes as a tar. Dispose of it. */
interface NewLayer extends AsyncDisposable {
  readonly blob: Blob
  /** Undefined for a tar without entries. */
  readonly diffID: Digest | undefined
}

async function openLayer(driver: Driver, {id, place, parent}: StoredContainer, limits: Limits): Promise<NewLayer> {
  const running = inlineHasher.start('sha256', 0)
  async function* hashed(): AsyncGenerator<Buffer> {
    for await (const piece of driver.contents.diff(place, parent)) {
      running.update(piece)
      yield piece
    }
  }
  const {handle, size} = await spool(hashed(), limits)
  const range = {name: fromText(id), offset: 0, size, open: async () => handle, close: async () => {}}
  return {
    blob: rangeBlob(range),
    diffID: size === endOfTar.length ? undefined : running.digest(),
    [Symbol.asyncDispose]: () => handle.close(),
  }
}

function imageOf(
  container: StoredContainer,
  {parent: _, manifest: __, manifestDigest: ___, ...image}: Image,
  {blob, diffID}: NewLayer,
  message: string | undefined,
): Image {
  const step = {diffID, ...stepOf(container, image), ...(message !== undefined && {comment: fromText(message)})}
  const config = commitConfig(image.config, step)
  const layers = diffID === undefined ? image.layers : [...image.layers, {index: image.layers.length, blob, diffID}]
  return {...image, names: [], aliases: [], config, imageID: sha256(config), layers}
}

/** What docker says of a container that never ran. */
const never = '0001-01-01T00:00:00Z'

/** What a container does, when, and what it was run with; without docker's document, what its image says. */
function stepOf(
  {document, created}: StoredContainer,
  image: Pick<Image, 'config' | 'created'>,
): ReturnType<typeof stepOfDocument> {
  if (document !== undefined) return stepOfDocument(document)
  return {created: created ?? image.created ?? never, createdBy: commandOf(image.config), runConfig: undefined}
}

/** @see moby container/container.go, container/state.go */
function stepOfDocument(document: Buffer): {
  created: string
  createdBy: ByteString
  runConfig: RawValue | undefined
} {
  const facts = new Map(splitObject(parseDocument(document.toString('latin1'))))
  const text = (value: RawValue | undefined) => (value?.startsWith('"') ? decodeString(value) : undefined)
  const state = facts.get('State')
  const finished = state?.startsWith('{') ? text(new Map(splitObject(state)).get('FinishedAt')) : undefined
  const args = facts.get('Args')
  const words = args?.startsWith('[') ? splitArray(args).map((word) => text(word) ?? '') : []
  const runConfig = facts.get('Config')
  return {
    created: toText(finished === undefined || finished === never ? (text(facts.get('Created')) ?? never) : finished),
    createdBy: [text(facts.get('Path')) ?? '', ...words].join(' '),
    runConfig: runConfig?.startsWith('{') ? runConfig : undefined,
  }
}
