/** The images of docker 1.10 and later: configs by digest, layers by chainID, names beside. */
import {addMember} from '../archive/names.ts'
import {type Digest, digestHex, isID} from '../digest.ts'
import {isPlaceID} from '../driver/place-id.ts'
import {ImgtoolError} from '../errors.ts'
import {chainIDs} from '../image/chain.ts'
import type {ConfigFacts} from '../image/config.ts'
import {dockerManifestName} from '../image/docker-archive.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {type ByteString, printableText} from '../text.ts'
import {machineCodes, tolerate} from './damage.ts'
import {readRepositories, readStoredConfig} from './documents.ts'
import {configsName, imageMetadataPath, layerFile, layerPath, metadataRoot} from './layout.ts'
import {memoryBlob} from './memory-blob.ts'
import type {StoreMembers} from './open-store.ts'
import type {StoreFiles} from './store-files.ts'
import type {StoreLayers} from './store-layers.ts'

/** An image whose config could be read. */
interface Stored {
  readonly facts: ConfigFacts
  readonly parent: string | undefined
  readonly names: string[]
}

/** An image whose config could not be read. */
interface Lost {
  readonly imageID: Digest
  readonly names: string[]
  readonly error: ImgtoolError
}

/**
 * Reads what docker knows of the images of a driver. What is damaged is left out, with a warning: whoever rescues images has
 * a damaged disk. As in `docker images`, an image without a name that another one was built on does not appear.
 *
 * @throws {ImgtoolError} LIMIT_EXCEEDED, PERMISSION_DENIED
 */
export function readMetadata(files: StoreFiles, layers: StoreLayers, limits: Limits): StoreMembers {
  const reader = new MetadataReader(files, layers, limits)
  reader.read()
  return reader
}

/** As {@link readMetadata}, of one image, whose config need not be in the store. */
export function readOneImage(
  config: ConfigFacts,
  files: StoreFiles,
  layers: StoreLayers,
  limits: Limits,
): StoreMembers {
  const reader = new MetadataReader(files, layers, limits)
  reader.readOne(config)
  return reader
}

class MetadataReader implements StoreMembers {
  readonly members: StoreMembers['members'] = new Map()
  readonly warnings: string[] = []
  readonly lost: Lost[] = []
  readonly missing: Map<ByteString, string> = new Map()
  readonly #files: StoreFiles
  readonly #layers: StoreLayers
  readonly #limits: Limits
  readonly #root: string
  /** Names of the members of layers, by chainID; undefined for one that is not there. */
  readonly #known = new Map<Digest, string | undefined>()
  readonly #cacheIDs = new Map<Digest, string>()

  constructor(files: StoreFiles, layers: StoreLayers, limits: Limits) {
    this.#files = files
    this.#layers = layers
    this.#limits = limits
    this.#root = metadataRoot(layers.driver)
  }

  read(): void {
    const images = this.#readConfigs()
    this.#readNames(images)
    for (const image of this.lost) this.warnings.push(describeLost(image))
    const parents = new Set([...images.values()].map(({parent}) => parent))
    const shown = [...images].filter(([id, {names}]) => names.length > 0 || !parents.has(id))
    const ids = new Set<string>(shown.map(([id]) => id))
    const manifest = shown.toSorted(byName).map(([, image]) => {
      const {parent = ''} = image
      return {...this.#addImage(image), ...(ids.has(parent) && {Parent: parent})}
    })
    this.#add(dockerManifestName, Buffer.from(JSON.stringify(manifest)))
  }

  readOne(facts: ConfigFacts): void {
    const item = this.#addImage({facts, parent: undefined, names: []})
    this.#add(dockerManifestName, Buffer.from(JSON.stringify([item])))
  }

  #readConfigs(): Map<Digest, Stored> {
    const images = new Map<Digest, Stored>()
    const ids = this.#files.list(`${this.#root}/${configsName}`) ?? []
    checkLimit(this.#limits, 'members', ids.length, 'images of the store')
    for (const hex of ids.filter(isID)) {
      const imageID: Digest = `sha256:${hex}`
      const facts = readOrLeaveOut(
        () => readStoredConfig(this.#files, this.#root, imageID, this.#limits),
        (error) => this.lost.push({imageID, names: [], error}),
      )
      const parent = this.#files.line(`${this.#root}/${imageMetadataPath(imageID)}/parent`)
      if (facts !== undefined) images.set(imageID, {facts, parent, names: []})
    }
    return images
  }

  #readNames(images: ReadonlyMap<Digest, Stored>): void {
    const document = readOrLeaveOut(
      () => readRepositories(this.#files, this.#root, this.#limits),
      ({message}) => this.warnings.push(`Names are left out: ${message}`),
    )
    const lost = new Map<string, Lost>(this.lost.map((image) => [image.imageID, image]))
    for (const references of document?.Repositories.values() ?? []) {
      for (const [name, id] of references) {
        // A name by digest says where the image came from; it is no tag.
        if (name.includes('@')) continue
        const image = images.get(id as Digest) ?? lost.get(id)
        if (image === undefined) this.warnings.push(`"${printableText(name)}" names an image that is not there`)
        else image.names.push(name)
      }
    }
  }

  /** @returns what `manifest.json` says of it */
  #addImage({facts, names}: Stored) {
    const {imageID, config, diffIDs} = facts
    const chain = chainIDs(diffIDs)
    const paths = chain.map((chainID, at) => this.#layer(chainID, diffIDs[at]!, chain[at - 1]))
    this.#add(blobPath(imageID), config)
    return {Config: blobPath(imageID), RepoTags: names.toSorted(), Layers: paths}
  }

  /** @returns the name of its member, also of one that is not there */
  #layer(chainID: Digest, diffID: Digest, below: Digest | undefined): string {
    if (!this.#known.has(chainID)) {
      const add = () => this.#addLayer(chainID, diffID, below)
      const known = readOrLeaveOut(add, ({message}) => {
        this.missing.set(blobPath(diffID), message)
        this.warnings.push(`Layer ${digestHex(chainID)} is left out: ${message}`)
      })
      this.#known.set(chainID, known)
    }
    return this.#known.get(chainID) ?? blobPath(diffID)
  }

  #addLayer(chainID: Digest, diffID: Digest, below: Digest | undefined): string {
    const path = `${this.#root}/${layerPath(chainID)}`
    const fact = (name: keyof typeof layerFile) => this.#files.line(`${path}/${layerFile[name]}`)
    const cacheID = fact('cacheID') ?? ''
    if (!isPlaceID(cacheID)) throw new ImgtoolError('BLOB_MISSING', 'the store has no such layer')
    if (fact('diffID') !== diffID) throw new ImgtoolError('DIGEST_MISMATCH', 'the store has another layer in its place')
    this.#cacheIDs.set(chainID, cacheID)
    const tarSplit = `${path}/${layerFile.tarSplit}`
    const isWhole = this.#files.isFile(tarSplit)
    // A digest as its name promises what the bytes are.
    const name = isWhole ? blobPath(diffID) : `${layerPath(chainID)}/layer.tar`
    if (this.members.has(name)) return name
    const blob = this.#layers.blob({
      name,
      cacheID,
      parentCacheID: below && this.#cacheIDs.get(below),
      tarSplit: isWhole ? tarSplit : undefined,
      filesSize: toSize(fact('size')),
    })
    if (blob === undefined) throw new ImgtoolError('BLOB_MISSING', 'the driver has no files of it')
    addMember(this.members, {name, kind: 'file', blob})
    return name
  }

  #add(name: string, bytes: Buffer): void {
    if (!this.members.has(name)) addMember(this.members, {name, kind: 'file', blob: memoryBlob(name, bytes)})
  }
}

function describeLost({imageID, names: [name], error}: Lost): string {
  const shown = name === undefined ? '' : `"${printableText(name)}" `
  return `Image ${shown}${digestHex(imageID)} is left out: ${error.message}`
}

/** Does without what is damaged, but not without what a higher limit takes. */
function readOrLeaveOut<Result>(read: () => Result, onDamage: (error: ImgtoolError) => void): Result | undefined {
  return tolerate(read, onDamage, [...machineCodes, 'LIMIT_EXCEEDED'])
}

function blobPath(digest: Digest): string {
  return `blobs/sha256/${digestHex(digest)}`
}

/** Named ones first. */
function byName([one, {names: ofOne}]: [Digest, Stored], [other, {names: ofOther}]: [Digest, Stored]): number {
  const key = (id: Digest, names: readonly string[]) =>
    `${names.length === 0 ? 1 : 0}${names.toSorted()[0] ?? ''}\0${id}`
  return key(one, ofOne) < key(other, ofOther) ? -1 : 1
}

/** @returns undefined for what is no number of bytes */
export function toSize(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}
