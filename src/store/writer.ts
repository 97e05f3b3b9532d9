/**
 * Adds layers, images and names to docker's data-root, in this order: what is referred to is there before whoever refers to
 * it. Everything appears by a rename; files are on the disk before.
 *
 * @see moby layer/filestore.go, image/fs.go, reference/store.go at v20.10 to v24
 */
import {mkdirSync, renameSync, rmSync} from 'node:fs'
import {join, resolve} from 'node:path'
import type {Digest} from '../digest.ts'
import type {Driver} from '../driver/driver.ts'
import {isPlaceID} from '../driver/place-id.ts'
import {makeStaging, removeLeftoversIn} from '../driver/staging.ts'
import {stagingName} from '../driver/staging-name.ts'
import {ImgtoolError} from '../errors.ts'
import {parseDocument} from '../image/json.ts'
import {familiarName, repositoryOf} from '../image/names.ts'
import {defaultLimits} from '../limits.ts'
import * as os from '../os/libc.ts'
import {fromText, printableText} from '../text.ts'
import {DataRoot, directoryMode} from './data-root.ts'
import type {LayerRecord} from './layer-records.ts'
import {
  configPath,
  containerFile,
  containersName,
  imageMetadataPath,
  layerFile,
  layerPath,
  layersName,
  metadataRoot,
  newFileName,
  repositoriesName,
  repositoriesSchema,
  temporaryName,
} from './layout.ts'
import {explained, writeNew} from './new-file.ts'
import {NewLayer, type StoredLayer} from './new-layer.ts'
import {readState} from './state.ts'
import {StoreFiles} from './store-files.ts'
import {findStrays, knowsPlaces} from './strays.ts'

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
  readonly imageID: Digest
  /** RFC 3339. */
  readonly created: string
}

const noTarget = ''
/** Bytes of the names of all images, of which every change writes a new file. */
const maximumNames = 64 * 1024 * 1024

/** Close it. Several processes may have one for the same store at a time. */
export class StoreWriter implements Disposable {
  readonly #dataRoot: DataRoot
  readonly #root: string
  readonly #driver: Driver
  /** No symlink of the store leads what is read out of it. */
  readonly #files: StoreFiles
  /** Places of layers that this one has removed. */
  readonly #freed = new Set<string>()

  /**
   * @param store docker's data-root; made where it is missing
   * @throws {ImgtoolError} as {@link DataRoot}
   */
  constructor(store: string, driver: Driver) {
    const path = resolve(store)
    this.#root = join(path, metadataRoot(driver.name))
    this.#driver = driver
    this.#dataRoot = new DataRoot(path, driver.name)
    this.#files = new StoreFiles(path)
  }

  /** @see {@link DataRoot.lock} */
  lock(signal?: AbortSignal): Promise<Disposable> {
    return this.#dataRoot.lock(signal)
  }

  /** @see {@link DataRoot.isAlone} */
  isAlone(): boolean {
    return this.#dataRoot.isAlone()
  }

  /** @see {@link DataRoot.removeIfUnused} */
  removeIfUnused(): void {
    this.#dataRoot.removeIfUnused()
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
    this.#dataRoot.makeDirectories(metadata)
    this.#write(`${metadata}/parent`, Buffer.from(parent))
  }

  /**
   * Gives names to images, which other images have no more. They are written as docker looks for them, whatever is left out or
   * not. Call with the {@link lock}.
   *
   * @returns ids of the images that had them, by name
   * @see moby reference/store.go, addReference: keys are FamiliarName and FamiliarString
   */
  addNames(names: ReadonlyMap<string, Digest>): Map<string, string> {
    const taken = new Map<string, string>()
    if (names.size === 0) return taken
    const repositories = this.#readRepositories()
    for (const [whole, imageID] of names) {
      const name = familiarName(whole)
      const repository = repositoryOf(name)
      const references = repositories.get(repository) ?? new Map<string, string>()
      const owner = references.get(name)
      if (owner !== undefined && owner !== imageID) taken.set(name, owner)
      repositories.set(repository, references.set(name, imageID))
    }
    this.#writeRepositories(repositories)
    return taken
  }

  /** Writes names as docker looks for them; one that an image has already stays that image's. Call with the {@link lock}. */
  respellNames(names: readonly string[]): void {
    const known = new Map([...this.#readRepositories().values()].flatMap((references) => [...references]))
    const free = names.filter((name) => !known.has(familiarName(name)))
    this.addNames(new Map(free.map((name) => [name, known.get(name) as Digest])))
    this.removeNames(names)
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
    this.#freed.add(this.#line(`${layerPath(chainID)}/${layerFile.cacheID}`) ?? '')
    // A part of a layer under its name would be taken for the layer.
    const aside = `${temporaryName}/${stagingName(noTarget)}`
    this.#attempt(() => renameSync(join(this.#root, layerPath(chainID)), join(this.#root, aside)))
    this.#remove(aside)
  }

  /** Writes what a layer is, where its files say something else. Call with the {@link lock}. */
  rewriteLayer({chainID, diffID, parent}: LayerRecord): void {
    this.#write(`${layerPath(chainID)}/${layerFile.diffID}`, Buffer.from(diffID))
    if (parent === undefined) this.#remove(`${layerPath(chainID)}/${layerFile.parent}`)
    else this.#write(`${layerPath(chainID)}/${layerFile.parent}`, Buffer.from(parent))
  }

  /** Writes how many bytes the files of a layer have. Call with the {@link lock}. */
  writeSize(chainID: Digest, size: number): void {
    this.#write(`${layerPath(chainID)}/${layerFile.size}`, Buffer.from(String(size)))
  }

  /** Makes places those of a container, which keeps them and what they lie on. Call with the {@link lock}. */
  addContainer({id, ...facts}: ContainerFacts): void {
    const aside = join(this.#root, temporaryName, stagingName(noTarget))
    this.#dataRoot.makeDirectories(containersName)
    this.#attempt(() => {
      mkdirSync(aside, {mode: directoryMode})
      for (const [name, text] of Object.entries(facts))
        writeNew(join(aside, containerFile[name as keyof typeof facts]), Buffer.from(text))
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
   * While something is damaged that may have lost its place, only those of layers go that {@link removeLayer} has removed.
   *
   * @returns ids of the places
   */
  removeLeftovers(): string[] {
    const found = findStrays(this.#driver, this.#usedPlaces())
    const left = found.length > 0 && this.#knowsPlaces() ? found : found.filter((id) => this.#freed.has(id))
    for (const id of left) {
      // A run that made a container can have been killed while it was mounted.
      this.#driver.put(id)
      this.#driver.remove(id)
    }
    this.#driver.cleanup()
    removeLeftoversIn(join(this.#root, temporaryName), noTarget)
    rmSync(join(this.#root, newFileName), {force: true})
    return left
  }

  /** Waits until the disk has everything. */
  sync(): void {
    this.#dataRoot.sync()
  }

  [Symbol.dispose](): void {
    this.#dataRoot[Symbol.dispose]()
    this.#files.close()
  }

  /** Of layers, and of containers with what they begin from. */
  #usedPlaces(): Set<string> {
    const of = (directory: string, name: string) =>
      this.#list(directory).map((entry) => this.#line(`${directory}/${entry}/${name}`) ?? '')
    const {mountID, initID} = containerFile
    return new Set([
      ...of(layersName, layerFile.cacheID),
      ...of(containersName, mountID),
      ...of(containersName, initID),
    ])
  }

  #knowsPlaces(): boolean {
    return knowsPlaces(readState(this.#files, this.#driver.name, defaultLimits), this.#driver)
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
    return explained(use, `write the store "${printableText(this.#dataRoot.path)}"`)
  }
}
