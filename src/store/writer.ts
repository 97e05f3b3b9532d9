/**
 * Adds layers, images and names to docker's data-root, in this order: what is referred to is there before whoever refers to
 * it. Everything appears by a rename; files are on the disk before.
 *
 * @see moby layer/filestore.go, image/fs.go, reference/store.go at v20.10 to v24
 */
import {closeSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmdirSync, rmSync, writeSync} from 'node:fs'
import {join, resolve} from 'node:path'
import {setTimeout as sleep} from 'node:timers/promises'
import type {Digest} from '../digest.ts'
import type {Driver} from '../driver/driver.ts'
import {isOfBuilder, isPlaceID} from '../driver/place-id.ts'
import {makeDirectories} from '../driver/places.ts'
import {makeStaging, removeLeftoversIn} from '../driver/staging.ts'
import {stagingName} from '../driver/staging-name.ts'
import {ImgtoolError} from '../errors.ts'
import {parseDocument} from '../image/json.ts'
import {splitTag} from '../image/names.ts'
import * as os from '../os/libc.ts'
import {fromText, printableText} from '../text.ts'
import {requireNoDaemon} from './daemon.ts'
import {
  configPath,
  configsName,
  containerFile,
  containersName,
  imageMetadataPath,
  imagesMetadataName,
  isID,
  layerFile,
  layerPath,
  layersName,
  metadataRoot,
  newFileName,
  repositoriesName,
  repositoriesSchema,
  temporaryName,
} from './layout.ts'
import {StoreFiles} from './store-files.ts'

/** A layer that the store has. */
export interface StoredLayer {
  readonly chainID: Digest
  readonly diffID: Digest
  /** Of its place. */
  readonly cacheID: string
}

/** What a layer is, besides its files. */
export interface LayerFacts extends StoredLayer {
  /** Bytes of its files. */
  readonly size: number
  /** ChainID of the layers below; undefined for a base. */
  readonly parent: Digest | undefined
}

/** What docker keeps of a container beside its places. */
export interface ContainerFacts {
  /** 64 hexadecimal digits. */
  readonly id: string
  /** Of the place that it writes to. */
  readonly mountID: string
  /** Of the place below that one, which lies on the image's layers. */
  readonly initID: string
  /** ChainID of the image's layers. */
  readonly parent: Digest
}

/** What was at the place of a store. */
type Before = 'nothing' | 'an empty directory' | 'something'

interface Made {
  readonly before: Before
  readonly layers: number
}

/** How often a store is made whose directories other runs remove meanwhile. */
const maximumAttempts = 10
/** Milliseconds between two attempts to get the lock, which nobody has for long. */
const lockInterval = 10
/** Mode of all that is docker's own. */
const [directoryMode, fileMode] = [0o700, 0o600]
const noTarget = ''
/** Bytes of the names of all images, of which every change writes a new file. */
const maximumNames = 64 * 1024 * 1024

/** Close it. Several processes may have one for the same store at a time. */
export class StoreWriter implements Disposable {
  readonly #store: string
  readonly #root: string
  readonly #driver: Driver
  /** No symlink of the store leads what is read out of it. */
  readonly #files: StoreFiles
  readonly #descriptor: number
  /** Of the layers; locked by all who are at work in the store. */
  readonly #layers: number
  /** What was there before: nothing, or at most an empty directory. */
  readonly #before: Before

  /**
   * @param store docker's data-root; made where it is missing
   * @throws {ImgtoolError} STORE_IN_USE, PERMISSION_DENIED, STORE_INVALID where a symlink is in the place of a directory
   */
  constructor(store: string, driver: Driver) {
    this.#store = resolve(store)
    this.#root = join(this.#store, metadataRoot(driver.name))
    this.#driver = driver
    requireNoDaemon(this.#store)
    const {before, layers} = this.#make()
    this.#before = before
    this.#layers = layers
    try {
      this.#descriptor = openDirectory(this.#store)
    } catch (error) {
      os.close(layers)
      throw error
    }
    this.#files = new StoreFiles(this.#store)
  }

  /** Makes what is missing of the store. A run that failed may be about to remove it again, see {@link removeIfUnused}. */
  #make(): Made {
    for (let attempt = 1; ; attempt++) {
      try {
        const made = this.#makeOnce()
        if (made !== undefined) return made
      } catch (error) {
        if (attempt >= maximumAttempts) throw error
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lockInterval)
    }
  }

  /** @returns undefined where another run has removed it, or is about to */
  #makeOnce(): Made | undefined {
    const before = this.#attempt(() => makeStore(this.#store))
    for (const name of [configsName, imagesMetadataName, layersName, temporaryName]) this.#makeDirectories(name)
    const layers = openDirectory(join(this.#root, layersName))
    if (os.lockShared(layers) !== os.EAGAIN && isLinked(layers)) return {before, layers}
    os.close(layers)
    return undefined
  }

  /**
   * Keeps other runs from changing what refers to what. Dispose of it soon.
   *
   * @throws {ImgtoolError} STORE_IN_USE, and the signal's reason
   */
  async lock(signal?: AbortSignal): Promise<Disposable> {
    const held = await takeLock(this.#descriptor, signal)
    try {
      // One may have been started since.
      requireNoDaemon(this.#store)
    } catch (error) {
      held[Symbol.dispose]()
      throw error
    }
    // Nobody has this one alone for longer than the other.
    os.lockShared(this.#layers)
    return held
  }

  /**
   * Whether nobody else is at work in the store, who could count on layers that no image has yet. Call with the {@link lock};
   * it holds as long.
   */
  isAlone(): boolean {
    const isAlone = os.lock(this.#layers) !== os.EAGAIN
    os.lockShared(this.#layers)
    return isAlone
  }

  /**
   * Removes what this run has made of a store, unless something is in it or another run is at work there. Call with the
   * {@link lock}, and then nothing else.
   */
  removeIfUnused(): void {
    if (this.#before === 'something' || os.lock(this.#layers) === os.EAGAIN) return
    removeEmptyDirectories(this.#store)
    if (this.#before === 'nothing') removeDirectory(this.#store)
  }

  /** What is there under a chainID; undefined also where a part of it is missing. */
  layer(chainID: Digest): StoredLayer | undefined {
    const read = (name: string) => this.#line(`${layerPath(chainID)}/${name}`)
    const [cacheID = '', diffID] = [read(layerFile.cacheID), read(layerFile.diffID)]
    if (diffID === undefined || !isPlaceID(cacheID) || !this.#driver.exists(cacheID)) return undefined
    return {chainID, diffID: diffID as Digest, cacheID}
  }

  /** Begins to write down a layer. */
  startLayer(): NewLayer {
    const parent = os.check(
      os.openAt(os.AT_FDCWD, fromText(join(this.#root, temporaryName)), os.O_PATH | os.O_DIRECTORY),
      'open the layers of the store',
    )
    try {
      const {name, descriptor} = makeStaging(parent, noTarget, 'a layer')
      return new NewLayer(join(this.#root, temporaryName, name), descriptor, this.#root)
    } finally {
      os.close(parent)
    }
  }

  /** Makes an image of layers that are there. Call with the {@link lock}. */
  addImage(imageID: Digest, config: Buffer, parent: Digest | undefined): void {
    this.#write(configPath(imageID), config)
    if (parent === undefined) return
    const metadata = imageMetadataPath(imageID)
    this.#makeDirectories(metadata)
    this.#write(`${metadata}/parent`, Buffer.from(parent))
  }

  /** Gives names to images, which other images have no more. Call with the {@link lock}. */
  addNames(names: ReadonlyMap<string, Digest>): void {
    if (names.size === 0) return
    const repositories = this.#readRepositories()
    for (const [name, imageID] of names) {
      const {repository} = splitTag(name)!
      const references = repositories.get(repository) ?? new Map<string, string>()
      repositories.set(repository, references.set(name, imageID))
    }
    this.#writeRepositories(repositories)
  }

  /** Takes names from images. Call with the {@link lock}. */
  removeNames(names: Iterable<string>): void {
    const gone = new Set(names)
    if (gone.size === 0) return
    const kept = [...this.#readRepositories()].map(
      ([repository, references]) => [repository, new Map([...references].filter(([name]) => !gone.has(name)))] as const,
    )
    this.#writeRepositories(new Map(kept.filter(([, references]) => references.size > 0)))
  }

  /** Removes an image that has no names; its layers stay. Call with the {@link lock}. */
  removeImage(imageID: Digest): void {
    this.#remove(configPath(imageID))
    this.#remove(imageMetadataPath(imageID))
  }

  /**
   * Forgets a layer that no image, no container and no other layer needs. Its place is left to {@link removeLeftovers}. Call
   * with the {@link lock}.
   */
  removeLayer(chainID: Digest): void {
    // A part of a layer under its name would be taken for the layer.
    const aside = `${temporaryName}/${stagingName(noTarget)}`
    this.#attempt(() => renameSync(join(this.#root, layerPath(chainID)), join(this.#root, aside)))
    this.#remove(aside)
  }

  /** Makes places those of a container, which keeps them and what they lie on. Call with the {@link lock}. */
  addContainer({id, mountID, initID, parent}: ContainerFacts): void {
    const aside = join(this.#root, temporaryName, stagingName(noTarget))
    const files = {[containerFile.mountID]: mountID, [containerFile.initID]: initID, [containerFile.parent]: parent}
    this.#makeDirectories(containersName)
    this.#attempt(() => {
      mkdirSync(aside, {mode: directoryMode})
      for (const [name, text] of Object.entries(files)) writeNew(join(aside, name), Buffer.from(text))
      renameSync(aside, join(this.#root, containersName, id))
    })
  }

  /** Forgets a container. Call with the {@link lock}. */
  removeContainer(id: string): void {
    this.#remove(`${containersName}/${id}`)
  }

  #remove(path: string): void {
    this.#attempt(() => rmSync(join(this.#root, path), {recursive: true, force: true}))
  }

  #writeRepositories(repositories: ReadonlyMap<string, ReadonlyMap<string, string>>): void {
    const sorted = [...repositories].toSorted(([one], [other]) => (one < other ? -1 : 1))
    const document = {
      Repositories: Object.fromEntries(sorted.map(([name, references]) => [name, Object.fromEntries(references)])),
    }
    this.#write(repositoriesName, Buffer.from(JSON.stringify(document)))
  }

  /**
   * Removes what killed runs left: places that nothing refers to and nobody has locked, and what was to become one, or a layer,
   * or a file. Call with the {@link lock}.
   *
   * No place goes while a layer or a container does not say which one is its own: it could be any.
   *
   * @returns ids of the places
   */
  removeLeftovers(): string[] {
    const used = this.#usedPlaces()
    const isLeft = (id: string) => used?.has(id) === false && !isOfBuilder(id) && !this.#driver.isLocked(id)
    const left = this.#driver.list().filter(isLeft)
    for (const id of left) {
      // A run that made a container can have been killed while it was mounted.
      this.#driver.put(id)
      this.#driver.remove(id)
    }
    this.#driver.tidy()
    removeLeftoversIn(join(this.#root, temporaryName), noTarget)
    rmSync(join(this.#root, newFileName), {force: true})
    return left
  }

  /** Waits until the disk has everything. */
  sync(): void {
    os.check(os.syncFileSystem(this.#descriptor), 'write to the disk')
  }

  [Symbol.dispose](): void {
    os.close(this.#layers)
    os.close(this.#descriptor)
    this.#files.close()
  }

  /** Of layers, and of containers with what they begin from; undefined where one of them has lost its own. */
  #usedPlaces(): Set<string> | undefined {
    const of = (directory: string, name: string) =>
      this.#list(directory).map((entry) => ({entry, place: this.#line(`${directory}/${entry}/${name}`) ?? ''}))
    const own = [...of(layersName, layerFile.cacheID), ...of(containersName, containerFile.mountID)]
    if (own.some(({entry, place}) => isID(entry) && !isPlaceID(place))) return undefined
    return new Set([...own, ...of(containersName, containerFile.initID)].map(({place}) => place))
  }

  #readRepositories(): Map<string, Map<string, string>> {
    const bytes = this.#files.read(this.#path(repositoriesName), maximumNames)
    if (bytes === undefined) return new Map()
    const {Repositories: found} = parseDocument(bytes, repositoriesName, repositoriesSchema)
    return new Map([...found].map(([name, references]) => [name, new Map(references)]))
  }

  #list(directory: string): string[] {
    return this.#files.list(this.#path(directory)) ?? []
  }

  #line(path: string): string | undefined {
    return this.#files.line(this.#path(path))
  }

  /** Below the store, of what is below the root. */
  #path(path: string): string {
    return `${metadataRoot(this.#driver.name)}/${path}`
  }

  #makeDirectories(path: string): void {
    makeDirectories(this.#store, this.#path(path).split('/'), directoryMode)
  }

  /** Replaces a file at once, unless it is as it should be. */
  #write(path: string, bytes: Buffer): void {
    const [full, temporary] = [join(this.#root, path), join(this.#root, newFileName)]
    if (this.#isAlready(path, bytes)) return
    this.#attempt(() => {
      try {
        rmSync(temporary, {force: true})
        writeNew(temporary, bytes)
        renameSync(temporary, full)
      } catch (error) {
        rmSync(temporary, {force: true})
        throw error
      }
    })
  }

  #isAlready(path: string, bytes: Buffer): boolean {
    try {
      return this.#files.read(this.#path(path), bytes.length)?.equals(bytes) === true
    } catch (error) {
      if (error instanceof ImgtoolError && error.code === 'LIMIT_EXCEEDED') return false
      throw error
    }
  }

  #attempt<Result>(use: () => Result): Result {
    return attempt(use, `write the store "${printableText(this.#store)}"`)
  }
}

/** The metadata of a layer that is being read. Commit it or abort it. */
export class NewLayer {
  readonly #path: string
  readonly #descriptor: number
  readonly #root: string
  #isOpen = true

  constructor(path: string, descriptor: number, root: string) {
    this.#path = path
    this.#descriptor = descriptor
    this.#root = root
  }

  /** Where its tar-split is written. */
  get tarSplitPath(): string {
    return join(this.#path, layerFile.tarSplit)
  }

  /** Makes the layer one of the store. Call with the store's lock, and after {@link StoreWriter.layer} found none. */
  commit({chainID, diffID, cacheID, size, parent}: LayerFacts): void {
    attempt(() => {
      const files = {
        [layerFile.diffID]: diffID,
        [layerFile.cacheID]: cacheID,
        [layerFile.size]: String(size),
        ...(parent && {[layerFile.parent]: parent}),
      }
      for (const [name, text] of Object.entries(files)) writeNew(join(this.#path, name), Buffer.from(text))
      const target = join(this.#root, layerPath(chainID))
      // What is there is a part of a layer, which nobody can use.
      rmSync(target, {recursive: true, force: true})
      renameSync(this.#path, target)
    }, 'write down a layer')
    this.#close()
  }

  /** Does nothing after {@link commit}. */
  abort(): void {
    if (this.#isOpen) rmSync(this.#path, {recursive: true, force: true})
    this.#close()
  }

  #close(): void {
    if (this.#isOpen) os.close(this.#descriptor)
    this.#isOpen = false
  }
}

/**
 * Keeps other runs from changing what refers to what, without writing.
 *
 * @param store docker's data-root
 * @throws the signal's reason
 */
export async function lockStore(store: string, signal?: AbortSignal): Promise<Disposable> {
  const name = fromText(resolve(store))
  const descriptor = os.check(os.openAt(os.AT_FDCWD, name, os.O_RDONLY | os.O_DIRECTORY), 'open', name)
  try {
    await takeLock(descriptor, signal)
  } catch (error) {
    os.close(descriptor)
    throw error
  }
  return {[Symbol.dispose]: () => void os.close(descriptor)}
}

async function takeLock(descriptor: number, signal: AbortSignal | undefined): Promise<Disposable> {
  while (os.lock(descriptor) === os.EAGAIN) await sleep(lockInterval, undefined, signal && {signal})
  return {[Symbol.dispose]: () => void os.unlock(descriptor)}
}

function openDirectory(path: string): number {
  const name = fromText(path)
  return os.check(os.openAt(os.AT_FDCWD, name, os.O_RDONLY | os.O_DIRECTORY), 'open', name)
}

function isLinked(descriptor: number): boolean {
  const status = os.statusAt(descriptor, '')
  return typeof status !== 'number' && status.links > 0
}

/** Makes a data-root, unless it is there. */
function makeStore(path: string): Before {
  const isNew = mkdirSync(path, {recursive: true, mode: 0o710}) !== undefined
  if (isNew) return 'nothing'
  return readdirSync(path).length === 0 ? 'an empty directory' : 'something'
}

/** Removes what has no files of what is in a directory. */
function removeEmptyDirectories(path: string): void {
  for (const entry of readdirSync(path, {withFileTypes: true})) {
    if (!entry.isDirectory()) continue
    removeEmptyDirectories(join(path, entry.name))
    removeDirectory(join(path, entry.name))
  }
}

function removeDirectory(path: string): void {
  try {
    rmdirSync(path)
  } catch {
    // Something is in it.
  }
}

function writeNew(path: string, bytes: Buffer): void {
  const descriptor = openSync(path, 'wx', fileMode)
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function attempt<Result>(use: () => Result, action: string): Result {
  try {
    return use()
  } catch (error) {
    const {code} = error as NodeJS.ErrnoException
    if (error instanceof ImgtoolError || code === undefined) throw error
    throw os.systemError(code, action, error)
  }
}
