/**
 * OCI layouts: `index.json` leads to manifests, a manifest to a config and layers, all of them blobs named by digest.
 *
 * @see OCI image-spec image-layout.md, image-index.md, manifest.md
 */
import type {Archive, Blob} from '../archive/archive.ts'
import {type Digest, digestAlgorithm, digestHex, parseDigest, startDigest} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import {checkLimit} from '../limits.ts'
import {printable, printableText} from '../text.ts'
import {type ConfigFacts, readConfig, requireSameCount, withoutDiffIDs} from './config.ts'
import {isDamageOfImage} from './damaged.ts'
import {type Documents, parseDocument, requireBlob} from './json.ts'
import {brokenBy, missingBlob} from './missing.ts'
import type {Image, Layer, LostImage, Platform} from './model.ts'
import {namesOf} from './names.ts'
import {type Descriptor, indexSchema, layoutSchema, manifestSchema} from './schemas.ts'

export const layoutName = 'oci-layout'
export const indexName = 'index.json'

/** Media types of indexes, image manifests and image configs, of OCI and of docker. @see containerd core/images/mediatypes.go */
export const indexTypes = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
])
export const manifestTypes = new Set([
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
])
export const configTypes = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
])

/** A descriptor on the way from `index.json` to the manifests, with the annotations of the descriptors above it. */
interface Step {
  readonly descriptor: Descriptor
  readonly depth: number
  readonly annotations: Readonly<Record<string, string>>
  readonly indexes: readonly Digest[]
}

/** What an OCI layout holds. */
export interface OciImages {
  readonly images: readonly Image[]
  readonly lost: readonly LostImage[]
  readonly warnings: readonly string[]
}

/** What reading one layout knows: many names may lead to one document, which is read once. */
interface Reading {
  readonly archive: Archive
  readonly documents: Documents
  readonly warnings: string[]
  readonly lost: LostImage[]
  readonly indexes: Map<Digest, Promise<readonly Descriptor[]>>
  readonly images: Map<Digest, Promise<Image | undefined>>
  readonly configs: Map<Digest, ConfigFacts>
}

/**
 * Reads every image of a layout, in the order of its indexes. Attestations and artifacts that are no images are left out,
 * manifests of unknown types with a warning. Images are lost whose index, manifest or config is not in the archive, or damaged.
 *
 * @throws {ImgtoolError} DOCUMENT_INVALID, DIGEST_INVALID, LIMIT_EXCEEDED, ARCHIVE_INVALID
 * @see OCI image-spec image-index.md: an unknown media type must not be an error
 */
export async function readOciLayout(archive: Archive, documents: Documents): Promise<OciImages> {
  const warnings: string[] = []
  const lost: LostImage[] = []
  const reading = {archive, documents, warnings, lost, indexes: new Map(), images: new Map(), configs: new Map()}
  await checkLayoutVersion(archive, documents, warnings)
  const named: Image[] = []
  for await (const step of findManifests(reading)) {
    const image = await losing(reading, step, (descriptor) => readOnce(reading, descriptor))
    if (image !== undefined) named.push({...image, ...namesOf(step.annotations), ...listedIn(step)})
  }
  return {images: mergeNames(named), lost: mergeLost(lost), warnings: [...new Set(warnings)]}
}

/** Reads what a descriptor leads to; undefined where the images behind it are lost. */
async function losing<Result>(
  {lost}: Reading,
  {descriptor, annotations}: Step,
  read: (descriptor: Descriptor) => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await read(descriptor)
  } catch (error) {
    if (!isDamageOfImage(error)) throw error
    const {platform} = descriptor
    lost.push({
      ...namesOf(annotations),
      manifestDigest: descriptor.digest as Digest,
      ...(platform && {platform}),
      error,
    })
    return undefined
  }
}

async function checkLayoutVersion(archive: Archive, documents: Documents, warnings: string[]): Promise<void> {
  const blob = archive.blob(layoutName)
  if (blob === undefined) {
    warnings.push('The file "oci-layout" is missing')
    return
  }
  const {imageLayoutVersion} = parseDocument(await documents.read(blob), layoutName, layoutSchema)
  if (/^1\.\d+\.\d+$/.test(imageLayoutVersion)) return
  throw new ImgtoolError(
    'DOCUMENT_INVALID',
    `Cannot read the OCI layout: version "${printableText(imageLayoutVersion)}" is unknown, expected "1.0.0"`,
  )
}

/** Walks the indexes depth first, in order, without recursion. */
async function* findManifests(reading: Reading): AsyncGenerator<Step> {
  const {archive, documents} = reading
  const {limits} = documents
  const top = requireBlob(archive, indexName, 'the index')
  const index = parseDocument(await documents.read(top), indexName, indexSchema)
  const open: Step[] = index.manifests
    .map((descriptor) => ({descriptor, depth: 1, annotations: {}, indexes: []}))
    .reverse()
  for (let step = open.pop(), count = 1; step !== undefined; step = open.pop(), count++) {
    const {descriptor, depth} = step
    checkLimit(limits, 'descriptors', count, 'descriptors in the indexes')
    checkLimit(limits, 'indexDepth', depth, 'nested indexes')
    const annotations = {...step.annotations, ...descriptor.annotations}
    if (indexTypes.has(descriptor.mediaType ?? '')) {
      const nested = (await losing(reading, {...step, annotations}, (index) => readNested(reading, index))) ?? []
      const indexes = [...step.indexes, descriptor.digest as Digest]
      open.push(...nested.map((inner) => ({descriptor: inner, depth: depth + 1, annotations, indexes})).reverse())
    } else if (!isAttestation(descriptor)) {
      yield {...step, annotations}
    }
  }
}

/** `index.json` lists images that have nothing to do with each other, unless it says for which platforms they are. */
function listedIn({descriptor, indexes}: Step): Pick<Image, 'indexDigests' | 'platformIndex'> {
  return {indexDigests: indexes, platformIndex: indexes.at(-1) ?? (descriptor.platform ? indexName : undefined)}
}

function readNested(reading: Reading, descriptor: Descriptor): Promise<readonly Descriptor[]> {
  const digest = parseDigest(descriptor.digest, 'a digest in an index')
  const index = reading.indexes.get(digest) ?? readIndex(reading, descriptor, digest)
  reading.indexes.set(digest, index)
  return index
}

async function readIndex(
  {archive, documents}: Reading,
  descriptor: Descriptor,
  digest: Digest,
): Promise<readonly Descriptor[]> {
  const bytes = await readVerified(archive, descriptor, documents, 'document')
  const document = parseDocument(bytes, blobName(digest), indexSchema)
  requireMediaType(document.mediaType, descriptor)
  return document.manifests
}

/** The image of a manifest, without names; undefined for what is no image. */
function readOnce(reading: Reading, descriptor: Descriptor): Promise<Image | undefined> {
  const digest = parseDigest(descriptor.digest, 'a digest in an index')
  const image = reading.images.get(digest) ?? readImage(reading, descriptor, digest)
  reading.images.set(digest, image)
  return image
}

async function readImage(reading: Reading, descriptor: Descriptor, digest: Digest): Promise<Image | undefined> {
  const {archive, documents} = reading
  if (!manifestTypes.has(descriptor.mediaType ?? 'application/vnd.oci.image.manifest.v1+json')) {
    reading.warnings.push(`${digest} of the type "${printableText(descriptor.mediaType ?? '')}" is no image`)
    return undefined
  }
  const bytes = await readVerified(archive, descriptor, documents, 'document')
  const manifest = parseDocument(bytes, blobName(digest), manifestSchema)
  requireMediaType(manifest.mediaType, descriptor)
  if (!configTypes.has(manifest.config.mediaType ?? '')) return undefined
  const facts = await readConfigOnce(reading, manifest.config)
  requireSameCount(manifest.layers.length, facts.diffIDs.length, blobName(digest))
  const layers = manifest.layers.map((layer, at) => toLayer(archive, layer, at, facts.diffIDs[at]!))
  return {
    format: 'oci',
    index: 0,
    names: [],
    aliases: [],
    ...withoutDiffIDs(facts),
    platform: withVariant(facts.platform, descriptor),
    manifest: bytes,
    manifestDigest: digest,
    layers,
    ...brokenBy(layers),
  }
}

/** A platform with the variant that a descriptor says and the config does not. */
export function withVariant(said: Platform, {platform}: Descriptor): Platform {
  return platform?.variant && said.variant === undefined ? {...said, variant: platform.variant} : said
}

/** Thousands of small manifests may share one large config. */
async function readConfigOnce({archive, documents, configs}: Reading, descriptor: Descriptor): Promise<ConfigFacts> {
  const digest = parseDigest(descriptor.digest, 'the digest of a config')
  const known = configs.get(digest)
  if (known !== undefined) return known
  const facts = readConfig(
    await readVerified(archive, descriptor, documents, 'config'),
    blobName(digest),
    documents.limits,
  )
  configs.set(digest, facts)
  return facts
}

function toLayer(archive: Archive, descriptor: Descriptor, index: number, diffID: Digest): Layer {
  const digest = parseDigest(descriptor.digest, `the digest of layer ${index}`)
  return {
    index,
    blob: findLayer(archive, descriptor, digest, index),
    diffID,
    digest,
    ...(descriptor.mediaType === undefined ? {} : {mediaType: descriptor.mediaType}),
  }
}

function findLayer(archive: Archive, descriptor: Descriptor, digest: Digest, index: number): Blob {
  const blob = archive.blob(blobName(digest))
  const where = {layer: index, entry: blobName(digest)}
  if (blob === undefined) {
    const message = `Cannot find layer ${index} "${digest}" in the archive${whyElsewhere(descriptor)}`
    return missingBlob(blobName(digest), descriptor.size, new ImgtoolError('BLOB_MISSING', message, where))
  }
  requireSize(blob, descriptor)
  return blob
}

/** Layers that must not be distributed are elsewhere by design. @see OCI image-spec layer.md, non-distributable layers */
export function isElsewhere({mediaType = ''}: Descriptor): boolean {
  return /nondistributable|\.foreign\./.test(mediaType)
}

function whyElsewhere(descriptor: Descriptor): string {
  if (!isElsewhere(descriptor)) return ''
  const [url] = descriptor.urls ?? []
  return `: it is left out on purpose${url === undefined ? '' : `, and is to be had from ${printableText(url).slice(0, 200)}`}`
}

/** Reads a document and checks it against its descriptor before anything is made of it. */
async function readVerified(
  archive: Archive,
  descriptor: Descriptor,
  documents: Documents,
  limit: 'document' | 'config',
): Promise<Buffer> {
  const digest = parseDigest(descriptor.digest, 'a digest in a descriptor')
  const blob = requireBlob(archive, blobName(digest), 'the blob')
  requireSize(blob, descriptor)
  const bytes = await documents.read(blob, limit)
  const running = startDigest(digestAlgorithm(digest))
  running.update(bytes)
  const actual = running.digest()
  if (actual === digest) return bytes
  throw new ImgtoolError('DIGEST_MISMATCH', `Cannot read "${blobName(digest)}": its bytes have the digest ${actual}`, {
    entry: blobName(digest),
    expected: digest,
    actual,
  })
}

function requireSize(blob: Blob, descriptor: Descriptor): void {
  if (blob.size === descriptor.size) return
  throw new ImgtoolError(
    'SIZE_MISMATCH',
    `Cannot read "${printable(blob.name)}": it has ${blob.size} bytes, its descriptor says ${descriptor.size}`,
    {entry: blob.name, expected: String(descriptor.size), actual: String(blob.size)},
  )
}

/** A document that says it is something else than its descriptor can be read in two ways. @see CVE-2021-41190 */
function requireMediaType(embedded: string | undefined, descriptor: Descriptor): void {
  if (embedded === undefined || descriptor.mediaType === undefined || embedded === descriptor.mediaType) return
  throw new ImgtoolError(
    'DOCUMENT_INVALID',
    `Cannot read ${printableText(descriptor.digest)}: it says it is "${printableText(embedded)}", its descriptor says "${printableText(descriptor.mediaType)}"`,
    {expected: descriptor.mediaType, actual: embedded},
  )
}

/** @see docs.docker.com/build/metadata/attestations/attestation-storage */
export function isAttestation(descriptor: Descriptor): boolean {
  return descriptor.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest'
}

/** The name of a blob in a layout. */
export function blobName(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`
}

/** Docker writes a descriptor for every tag of one image: they are one image with several names. */
function mergeNames(images: readonly Image[]): Image[] {
  const groups = [...Map.groupBy(images, (image) => image.manifestDigest).values()]
  return groups.map((same, index) => ({
    ...same[0]!,
    index,
    names: [...new Set(same.flatMap(({names}) => names))],
    aliases: [...new Set(same.flatMap(({aliases}) => aliases))],
    indexDigests: [...new Set(same.flatMap(({indexDigests = []}) => indexDigests))],
  }))
}

/** One of several names is as lost as the others. */
function mergeLost(lost: readonly LostImage[]): LostImage[] {
  const groups = [...Map.groupBy(lost, ({manifestDigest}) => manifestDigest).values()]
  return groups.map((same) => ({
    ...same[0]!,
    names: [...new Set(same.flatMap(({names}) => names))],
    aliases: [...new Set(same.flatMap(({aliases = []}) => aliases))],
  }))
}
