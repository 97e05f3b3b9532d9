/**
 * Writes an OCI layout.
 *
 * @see OCI image-spec image-layout.md, manifest.md, image-index.md
 */
import * as v from 'valibot'
import type {ArchiveWriter, NewMember} from '../../archive/writer.ts'
import type {Compression} from '../../compression/detect.ts'
import {type Digest, digestAlgorithm, sha256} from '../../digest.ts'
import type {ByteString} from '../../text.ts'
import {isLayerType, ociConfigType, ociIndexType, ociLayerTypes, ociManifestType} from '../media-types.ts'
import {familyOf, type Platform} from '../model.ts'
import {annotationsOf} from '../names.ts'
import {blobName, indexName, layoutName} from '../oci.ts'
import {descriptorSchema} from '../schemas.ts'
import type {ImageWriter, KnownLayer, NewImage, StoredLayer} from './writer.ts'

/** A descriptor as it is written. */
interface NewDescriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly platform?: Platform
  readonly annotations?: Readonly<Record<string, string>>
}

/** An image as the index will name it. */
interface Entry {
  readonly names: readonly string[]
  readonly platform: Platform
  readonly platformIndex: string | undefined
  readonly manifest: NewDescriptor
}

export class OciWriter implements ImageWriter {
  readonly identity = 'digest'
  readonly compressions: ReadonlySet<Compression> = new Set(['none', 'gzip', 'zstd'])
  readonly #archive: ArchiveWriter
  readonly #existing: ExistingIndex | undefined
  readonly #onTaken: OnTaken | undefined
  readonly #directories = new Set<ByteString>()
  readonly #documents = new Set<Digest>()
  readonly #entries: Entry[] = []

  /**
   * @param existing the index of the layout that is added to
   * @param onTaken called for each name that another image of the layout loses, with the digest of its manifest or index
   */
  constructor(archive: ArchiveWriter, existing?: ExistingIndex, onTaken?: OnTaken) {
    this.#archive = archive
    this.#existing = existing
    this.#onTaken = onTaken
  }

  expect(): void {}

  async startLayer({digest, size}: KnownLayer): Promise<NewMember> {
    await this.#makeDirectory(digest ?? 'sha256:')
    return this.#archive.start({name: digest && blobName(digest), size})
  }

  async addLayer({digest}: StoredLayer, member: NewMember): Promise<void> {
    await member.place(blobName(digest))
  }

  async addImage(image: NewImage): Promise<void> {
    const manifest = keptManifest(image) ?? makeManifest(image)
    await this.#addDocument(image.config)
    await this.#addDocument(manifest)
    const {names, platform, platformIndex} = image
    this.#entries.push({names, platform, platformIndex, manifest: describe(manifest, ociManifestType)})
  }

  async finish(): Promise<void> {
    await this.finishLayout()
    await this.#archive.finish()
  }

  /** Writes what makes the archive a layout, and leaves it open. */
  async finishLayout(): Promise<void> {
    const added: NewDescriptor[] = []
    for (const group of groupPlatforms(this.#entries)) added.push(...(await this.#describeGroup(group)))
    await this.#makeDirectory('sha256:')
    if (this.#existing === undefined) await this.#archive.write(layoutName, encode({imageLayoutVersion: '1.0.0'}))
    const {index, taken} = mergeIndex(this.#existing, added)
    await this.#archive.write(indexName, encode(index))
    for (const [name, from] of taken) this.#onTaken?.(name, from)
  }

  /** One descriptor a name, or one without a name. Several platforms become an index of their own. */
  async #describeGroup(group: readonly Entry[]): Promise<NewDescriptor[]> {
    const [first] = group
    let descriptor = first!.manifest
    if (group.length > 1) {
      const manifests = group.map(({manifest, platform}) => ({...manifest, platform}))
      const index = encode({schemaVersion: 2, mediaType: ociIndexType, manifests})
      await this.#addDocument(index)
      descriptor = describe(index, ociIndexType)
    }
    const {names} = first!
    return names.length === 0 ? [descriptor] : names.map((name) => ({...descriptor, annotations: annotationsOf(name)}))
  }

  async #addDocument(bytes: Buffer): Promise<void> {
    const digest = sha256(bytes)
    if (this.#documents.has(digest)) return
    this.#documents.add(digest)
    await this.#makeDirectory(digest)
    await this.#archive.write(blobName(digest), bytes)
  }

  async #makeDirectory(digest: Digest): Promise<void> {
    for (const name of ['blobs', `blobs/${digestAlgorithm(digest)}`]) {
      if (this.#directories.has(name)) continue
      this.#directories.add(name)
      await this.#archive.directory(name)
    }
  }
}

/** An `index.json` that is added to: all of it is kept, known or not. */
export interface ExistingIndex {
  readonly document: Readonly<Record<string, unknown>>
  /** Of {@link document}, as stored. */
  readonly manifests: readonly Readonly<Record<string, unknown>>[]
}

type OnTaken = (name: string, from: string) => void

/** A name means one image: who had it before loses it, as with skopeo and umoci. */
function mergeIndex(existing: ExistingIndex | undefined, added: readonly NewDescriptor[]) {
  if (existing === undefined) return {index: {schemaVersion: 2, mediaType: ociIndexType, manifests: added}, taken: []}
  const owners = new Map(added.map((descriptor) => [identify(descriptor), descriptor.digest as string]))
  const isKept = (descriptor: object) => !owners.has(identify(descriptor))
  const kept = existing.manifests.filter(isKept)
  const taken = existing.manifests
    .filter((descriptor) => !isKept(descriptor) && owners.get(identify(descriptor)) !== descriptor.digest)
    .map((descriptor) => [String(nameOf(descriptor)), String(descriptor.digest)] as const)
  return {index: {...existing.document, manifests: [...kept, ...added]}, taken}
}

/** A descriptor's name, or what it leads to where it has none. */
function identify(descriptor: {readonly digest?: unknown; readonly annotations?: unknown}): string {
  const name = nameOf(descriptor)
  return JSON.stringify([name === undefined ? descriptor.digest : null, name])
}

function nameOf({annotations}: {readonly annotations?: unknown}): unknown {
  const known = annotations as Record<string, unknown> | null | undefined
  return known?.['org.opencontainers.image.ref.name'] ?? known?.['io.containerd.image.name']
}

/** Images that are one image for several platforms, beside each other. */
function groupPlatforms(entries: readonly Entry[]): Entry[][] {
  const groups = [...Map.groupBy(entries, (entry) => familyOf(entry) ?? entry).values()]
  return groups.flatMap((group) => {
    const platforms = new Set(group.map(({platform}) => JSON.stringify(platform)))
    return platforms.size === group.length ? [group] : group.map((entry) => [entry])
  })
}

const keptSchema = v.object({
  mediaType: v.optional(v.literal(ociManifestType)),
  config: descriptorSchema,
  layers: v.array(descriptorSchema),
})

/** The manifest that the image had, if it is one of OCI and all that it says is still true. */
function keptManifest({manifest, imageID, layers}: NewImage): Buffer | undefined {
  if (manifest === undefined) return undefined
  const parsed = v.safeParse(keptSchema, JSON.parse(manifest.toString()))
  if (!parsed.success) return undefined
  const {config, layers: described} = parsed.output
  const isTrue =
    config.mediaType === ociConfigType &&
    config.digest === imageID &&
    described.length === layers.length &&
    described.every(
      ({digest, mediaType}, at) => digest === layers[at]!.digest && isLayerType(mediaType, layers[at]!.compression),
    )
  return isTrue ? manifest : undefined
}

const annotatedSchema = v.object({annotations: v.optional(v.record(v.string(), v.string()))})

function makeManifest({config, layers, manifest}: NewImage): Buffer {
  const before = manifest && v.safeParse(annotatedSchema, JSON.parse(manifest.toString()))
  const annotations = before?.success ? before.output.annotations : undefined
  return encode({
    schemaVersion: 2,
    mediaType: ociManifestType,
    config: describe(config, ociConfigType),
    layers: layers.map(({digest, size, compression}) => ({
      mediaType: ociLayerTypes[compression as keyof typeof ociLayerTypes],
      digest,
      size,
    })),
    ...(annotations && {annotations}),
  })
}

function describe(bytes: Buffer, mediaType: string): NewDescriptor {
  return {mediaType, digest: sha256(bytes), size: bytes.length}
}

function encode(document: object): Buffer {
  return Buffer.from(JSON.stringify(document))
}
