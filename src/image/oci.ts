/**
 * OCI layouts: `index.json` leads to manifests, a manifest to a config and layers, all of them blobs named by digest.
 *
 * @see OCI image-spec image-layout.md, image-index.md, manifest.md
 */
import type {Archive, Blob} from '../archive/archive.ts'
import {type Digest, digestAlgorithm, digestHex, parseDigest, startDigest} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {printable, printableText} from '../text.ts'
import {readConfig, requireSameCount, withoutDiffIDs} from './config.ts'
import {parseDocument, readDocument, requireBlob} from './json.ts'
import {missingBlob} from './missing.ts'
import type {Image, Layer} from './model.ts'
import {namesOf} from './names.ts'
import {type Descriptor, indexSchema, layoutSchema, manifestSchema} from './schemas.ts'

export const layoutName = 'oci-layout'
export const indexName = 'index.json'

/** Media types of indexes, image manifests and image configs, of OCI and of docker. @see containerd core/images/mediatypes.go */
const indexTypes = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
])
const manifestTypes = new Set([
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
])
const configTypes = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
])

/** A descriptor on the way from `index.json` to the manifests, with the annotations of the descriptors above it. */
interface Step {
  readonly descriptor: Descriptor
  readonly depth: number
  readonly annotations: Readonly<Record<string, string>>
}

/** What an OCI layout holds. */
export interface OciImages {
  readonly images: readonly Image[]
  readonly warnings: readonly string[]
}

/**
 * Reads every image of a layout, in the order of its indexes. Attestations and artifacts that are no images are left out;
 * manifests whose blobs are not in the archive are left out with a warning.
 *
 * @throws {ImgtoolError} DOCUMENT_INVALID, DIGEST_INVALID, DIGEST_MISMATCH, SIZE_MISMATCH, LIMIT_EXCEEDED, ARCHIVE_INVALID
 */
export async function readOciLayout(archive: Archive, limits: Limits): Promise<OciImages> {
  const warnings: string[] = []
  await checkLayoutVersion(archive, limits, warnings)
  const images: Image[] = []
  for await (const {descriptor, annotations} of findManifests(archive, limits, warnings)) {
    const image = await readImage(archive, descriptor, annotations, limits, images.length)
    if (image !== undefined) images.push(image)
  }
  return {images: mergeNames(images), warnings}
}

async function checkLayoutVersion(archive: Archive, limits: Limits, warnings: string[]): Promise<void> {
  const blob = archive.blob(layoutName)
  if (blob === undefined) {
    warnings.push('The file "oci-layout" is missing')
    return
  }
  const {imageLayoutVersion} = parseDocument(
    await readDocument(blob, limits.document, 'document'),
    layoutName,
    layoutSchema,
  )
  if (/^1\.\d+\.\d+$/.test(imageLayoutVersion)) return
  throw new ImgtoolError(
    'DOCUMENT_INVALID',
    `Cannot read the OCI layout: version "${printableText(imageLayoutVersion)}" is unknown, expected "1.0.0"`,
  )
}

/** Walks the indexes depth first, in order, without recursion; each digest once. */
async function* findManifests(archive: Archive, limits: Limits, warnings: string[]): AsyncGenerator<Step> {
  const top = requireBlob(archive, indexName, 'the index')
  const index = parseDocument(await readDocument(top, limits.document, 'document'), indexName, indexSchema)
  const open: Step[] = index.manifests.map((descriptor) => ({descriptor, depth: 1, annotations: {}})).reverse()
  const seen = new Set<string>()
  for (let step = open.pop(), count = 1; step !== undefined; step = open.pop(), count++) {
    const {descriptor, depth} = step
    checkLimit(limits, 'descriptors', count, 'descriptors in the indexes')
    checkLimit(limits, 'indexDepth', depth, 'nested indexes')
    const digest = parseDigest(descriptor.digest, 'a digest in an index')
    const annotations = {...step.annotations, ...descriptor.annotations}
    if (indexTypes.has(descriptor.mediaType ?? '')) {
      if (seen.has(digest)) continue
      seen.add(digest)
      const nested = await readNested(archive, descriptor, limits, warnings)
      open.push(...nested.map((inner) => ({descriptor: inner, depth: depth + 1, annotations})).reverse())
    } else if (isAttestation(descriptor)) {
      // It describes another manifest; nobody wants to unpack it.
    } else if (archive.blob(blobName(digest)) === undefined) {
      warnings.push(`The manifest ${digest} is in the index, but not in the archive`)
    } else {
      yield {...step, annotations}
    }
  }
}

async function readNested(
  archive: Archive,
  descriptor: Descriptor,
  limits: Limits,
  warnings: string[],
): Promise<Descriptor[]> {
  const digest = parseDigest(descriptor.digest, 'a digest in an index')
  if (archive.blob(blobName(digest)) === undefined) {
    warnings.push(`The index ${digest} is named, but not in the archive`)
    return []
  }
  const document = parseDocument(
    await readVerified(archive, descriptor, limits, 'document'),
    blobName(digest),
    indexSchema,
  )
  requireMediaType(document.mediaType, descriptor)
  return document.manifests
}

async function readImage(
  archive: Archive,
  descriptor: Descriptor,
  annotations: Readonly<Record<string, string>>,
  limits: Limits,
  index: number,
): Promise<Image | undefined> {
  const digest = parseDigest(descriptor.digest, 'a digest in an index')
  const bytes = await readVerified(archive, descriptor, limits, 'document')
  if (!manifestTypes.has(descriptor.mediaType ?? 'application/vnd.oci.image.manifest.v1+json')) {
    throw unknownType(descriptor)
  }
  const manifest = parseDocument(bytes, blobName(digest), manifestSchema)
  requireMediaType(manifest.mediaType, descriptor)
  if (!configTypes.has(manifest.config.mediaType ?? '')) return undefined
  const configName = blobName(parseDigest(manifest.config.digest, 'the digest of a config'))
  const config = await readVerified(archive, manifest.config, limits, 'config')
  const facts = readConfig(config, configName, limits)
  requireSameCount(manifest.layers.length, facts.diffIDs.length, blobName(digest))
  const platform = descriptor.platform
  return {
    format: 'oci',
    index,
    ...namesOf(annotations),
    ...withoutDiffIDs(facts),
    ...(platform?.variant && facts.platform.variant === undefined
      ? {platform: {...facts.platform, variant: platform.variant}}
      : {}),
    manifest: bytes,
    manifestDigest: digest,
    layers: manifest.layers.map((layer, at) => toLayer(archive, layer, at, facts.diffIDs[at]!)),
  }
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
    return missingBlob(
      blobName(digest),
      descriptor.size,
      new ImgtoolError('BLOB_MISSING', `Cannot find layer ${index} "${digest}" in the archive`, where),
    )
  }
  requireSize(blob, descriptor)
  return blob
}

/** Reads a document and checks it against its descriptor before anything is made of it. */
async function readVerified(
  archive: Archive,
  descriptor: Descriptor,
  limits: Limits,
  limit: 'document' | 'config',
): Promise<Buffer> {
  const digest = parseDigest(descriptor.digest, 'a digest in a descriptor')
  const blob = requireBlob(archive, blobName(digest), 'the blob')
  requireSize(blob, descriptor)
  const bytes = await readDocument(blob, limits[limit], limit)
  const {hash, digest: finish} = startDigest(digestAlgorithm(digest))
  hash.update(bytes)
  const actual = finish()
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

function unknownType(descriptor: Descriptor): ImgtoolError {
  const type = printableText(descriptor.mediaType ?? '')
  return new ImgtoolError(
    'DOCUMENT_INVALID',
    `Cannot read ${printableText(descriptor.digest)}: media type "${type}" is no image manifest`,
  )
}

/** @see docs.docker.com/build/metadata/attestations/attestation-storage */
function isAttestation(descriptor: Descriptor): boolean {
  return descriptor.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest'
}

function blobName(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`
}

/** Docker writes a descriptor for every tag of one image: they are one image with several names. */
function mergeNames(images: readonly Image[]): Image[] {
  const merged = new Map<Digest, Image>()
  for (const image of images) {
    const before = merged.get(image.manifestDigest!)
    merged.set(image.manifestDigest!, {
      ...image,
      index: before?.index ?? merged.size,
      names: [...new Set([...(before?.names ?? []), ...image.names])],
      aliases: [...new Set([...(before?.aliases ?? []), ...image.aliases])],
    })
  }
  return [...merged.values()]
}
