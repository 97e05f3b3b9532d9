/** Finds out by content what format an archive has, and reads its images. */
import type {Archive} from '../archive/archive.ts'
import {standardInput} from '../archive/open.ts'
import {shortID} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import type {Limits} from '../limits.ts'
import {whiteoutPrefix} from '../tar/whiteout-names.ts'
import {type ByteString, printable, printableText} from '../text.ts'
import {dockerManifestName, readDockerArchive} from './docker-archive.ts'
import {hasV1Layers, readV1Archive, repositoriesName} from './docker-v1.ts'
import {Documents} from './json.ts'
import type {Image, ImageSet, LostImage} from './model.ts'
import {splitTag} from './names.ts'
import {indexName, layoutName, readOciLayout} from './oci.ts'

/**
 * Reads all images of an archive.
 *
 * An archive may be described twice: docker since 25 writes an OCI layout with a `manifest.json` beside. There
 * `manifest.json` is read first, because docker's own indexes of that time miss untagged images, layers or their order;
 * images that only the index has are added; where the two contradict each other the archive is refused.
 *
 * Images whose documents are missing or damaged are left out, with a warning, as long as others are left.
 *
 * @throws {ImgtoolError} FORMAT_UNKNOWN with what the archive looks like, and whatever the readers throw, with the archive named
 */
export async function readImages(archive: Archive, limits: Limits): Promise<ImageSet> {
  try {
    const set = await readAny(archive, new Documents(limits))
    const {lost = []} = set
    if (set.images.length === 0 && lost.length > 0) throw lost[0]!.error
    if (set.images.length > 0 || set.v1.size > 0)
      return {...set, warnings: [...set.warnings, ...lost.map(describeLost)]}
    const [oddity] = set.warnings
    const why = oddity === undefined ? '' : ` (${oddity})`
    throw new ImgtoolError('IMAGE_NOT_FOUND', `Cannot find an image in the archive: its documents name none${why}`)
  } catch (error) {
    throw error instanceof ImgtoolError ? error.within({archive: archive.label}) : error
  }
}

async function readAny(archive: Archive, documents: Documents): Promise<ImageSet> {
  const docker = archive.members.has(dockerManifestName)
  const oci = archive.members.has(indexName)
  if (docker && isSkopeoDirectory(archive)) throw skopeoDirectory(archive)
  if (docker && oci) return readHybrid(archive, documents)
  if (docker)
    return {format: 'docker-archive', ...(await readDockerArchive(archive, documents)), v1: new Map(), warnings: []}
  if (oci) return {format: 'oci', ...(await readOciLayout(archive, documents)), v1: new Map()}
  if (hasV1Layers(archive)) {
    const {nodes, ...images} = await readV1Archive(archive, documents)
    return {format: 'docker-v1', ...images, v1: nodes, warnings: []}
  }
  throw unknownFormat(archive)
}

/** @see containers-transports(5), dir: a manifest and blobs named by bare digests, which no other tool reads */
function isSkopeoDirectory(archive: Archive): boolean {
  return archive.kind === 'directory' && archive.members.has('version') && !archive.members.has(layoutName)
}

function skopeoDirectory(archive: Archive): ImgtoolError {
  const hint = `Convert it: skopeo copy dir:${printableText(archive.label)} oci:layout:latest`
  return notAnImage('is a directory of the transport dir: of skopeo', hint)
}

async function readHybrid(archive: Archive, documents: Documents): Promise<ImageSet> {
  const {images, lost} = await readDockerArchive(archive, documents)
  const {images: indexed, lost: unindexed, warnings} = await readIndexOfHybrid(archive, documents)
  requireAgreement(images, indexed)
  const known = new Set(images.map((image) => image.imageID))
  const manifests = new Map(indexed.map((image) => [image.imageID, image]))
  const merged = images.map((image) => withManifest(image, manifests.get(image.imageID)))
  const added = indexed.filter((image) => !known.has(image.imageID))
  const all = [...merged, ...added].map((image, index) => ({...image, index}))
  // What `manifest.json` describes, too, is not lost with its manifest: docker 25.0.0-rc wrote those without layers. @see moby#47065
  const [isRead, isLeftOut] = [namesIn(images), namesIn(lost)]
  const described = unindexed.filter(isRead)
  const others = unindexed.filter((image) => !isRead(image) && !isLeftOut(image))
  return {
    format: 'docker-archive',
    images: all,
    lost: [...lost, ...others],
    v1: new Map(),
    warnings: [...warnings, ...described.map(({error}) => error.message)],
  }
}

/** Tells whether all names of an image are among those of others; in an index a name may be a tag alone. */
function namesIn(others: readonly Pick<Image, 'names'>[]): (image: LostImage) => boolean {
  const known = new Set(others.flatMap(({names}) => names.flatMap((name) => [name, splitTag(name)?.tag ?? name])))
  return ({names}) => names.every((name) => known.has(name))
}

/** Without an index that can be read, `manifest.json` is whole all the same. */
async function readIndexOfHybrid(archive: Archive, documents: Documents) {
  try {
    return await readOciLayout(archive, documents)
  } catch (error) {
    if (!(error instanceof ImgtoolError) || error.code !== 'DOCUMENT_INVALID') throw error
    return {images: [], lost: [], warnings: [`The OCI index was left aside: ${error.message}`]}
  }
}

/** One name must not mean two images, and two descriptions of one archive must have something in common. */
function requireAgreement(docker: readonly Image[], indexed: readonly Image[]): void {
  const byName = new Map(docker.flatMap((image) => image.names.map((name) => [name, image.imageID] as const)))
  const platforms = new Set(indexed.map((image) => JSON.stringify(image.platform)))
  for (const image of indexed) {
    for (const name of image.names) {
      const other = byName.get(name)
      if (other !== undefined && other !== image.imageID && platforms.size === 1)
        throw contradiction(`"${printableText(name)}"`)
    }
  }
  const known = new Set(docker.map((image) => image.imageID))
  if (docker.length > 0 && indexed.length > 0 && !indexed.some((image) => known.has(image.imageID))) {
    throw contradiction('the images')
  }
}

function contradiction(what: string): ImgtoolError {
  return new ImgtoolError(
    'DOCUMENT_INVALID',
    `Cannot read the archive: "${dockerManifestName}" and "${indexName}" contradict each other about ${what}`,
  )
}

function withManifest(image: Image, indexed: Image | undefined): Image {
  if (indexed?.manifestDigest === undefined) return image
  return {
    ...image,
    manifestDigest: indexed.manifestDigest,
    ...(indexed.indexDigests && {indexDigests: indexed.indexDigests}),
    aliases: [...new Set([...indexed.names, ...indexed.aliases])],
  }
}

/** Names it by all that it is called. */
function describeLost({names, platform, imageID, manifestDigest, v1ID, error}: LostImage): string {
  const shown = names.map((name) => `"${printableText(name)}"`).join(', ')
  const what = shown || shortID(imageID ?? manifestDigest ?? v1ID ?? '') || 'without a name'
  const parts = [platform?.os, platform?.architecture, platform?.variant].filter((part) => part !== undefined)
  const where = parts.length === 0 ? '' : ` for ${printableText(parts.join('/'))}`
  return `Image ${what}${where} is left out: ${error.message}`
}

function unknownFormat(archive: Archive): ImgtoolError {
  const names = [...archive.members.keys()]
  const first = (pattern: RegExp) => names.some((name) => pattern.test(name))
  if (names.length === 0) return notAnImage('is empty')
  if (archive.members.has(layoutName)) return notAnImage(`is an OCI layout without "${indexName}"`)
  if (names.some((name) => `/${name}`.includes(`/${whiteoutPrefix}`))) {
    return notAnImage(
      'looks like a plain layer: it holds whiteouts',
      'A layer alone has no config: give the whole archive',
    )
  }
  if (archive.kind === 'directory' && first(/^(image\/[^/]+\/imagedb|graph\/[0-9a-f]{64})$/)) {
    return notAnImage('looks like the data-root of a docker', `Give it as docker-root:${printableText(archive.label)}`)
  }
  const inside = findInside(archive, names)
  if (inside !== undefined) return inside
  if (archive.kind === 'tar' || first(rootFileSystem)) {
    return notAnImage(
      'looks like a root file system (docker export, buildx type=tar) or a plain layer',
      `Make an image of it: docker import ${printableText(archive.label)}, or save the image with docker save`,
    )
  }
  return notAnImage('holds none of manifest.json, index.json, repositories or v1 layers')
}

const rootFileSystem = /^(etc|usr|bin)(\/|$)/

/** What is an image, only packed once too often: an archive in a directory, or in an archive. */
function findInside(archive: Archive, names: readonly ByteString[]): ImgtoolError | undefined {
  const document = findDocument(names)
  if (document !== undefined) {
    const looksLike = `holds "${printable(document.name)}", and is an image from that directory on`
    return notAnImage(looksLike, hintInside(archive, document.directory, 'directory'))
  }
  if (names.some((name) => rootFileSystem.test(name))) return undefined
  const [tar] = shortestFirst(names.filter((name) => /^([^/]+\/)?[^/]+\.(tar|tgz|tar\.[a-z0-9]{2,4})$/.test(name)))
  if (tar === undefined) return undefined
  return notAnImage(`holds another archive, "${printable(tar)}"`, hintInside(archive, tar, 'file'))
}

/** Many things have a manifest.json; beside that of an image are configs, layers or blobs. */
function findDocument(names: readonly ByteString[]): {name: ByteString; directory: ByteString} | undefined {
  const parts = /^(.+?)\/(?:blobs\/sha256\/[0-9a-f]{64}|(?:sha256:)?[0-9a-f]{64}(?:\.json|\/json)?)$/
  const directories = new Set(names.map((name) => parts.exec(name)?.[1]))
  for (const document of [dockerManifestName, layoutName, repositoriesName]) {
    const directoryOf = (name: ByteString) => name.slice(0, -document.length - 1)
    const documents = names.filter((name) => name.endsWith(`/${document}`) && directories.has(directoryOf(name)))
    const [name] = shortestFirst(documents)
    if (name !== undefined) return {name, directory: directoryOf(name)}
  }
  return undefined
}

function shortestFirst(names: readonly ByteString[]): readonly ByteString[] {
  return names.toSorted((one, other) => one.length - other.length)
}

function hintInside({kind, label}: Archive, name: ByteString, what: 'directory' | 'file'): string {
  if (kind === 'directory') return `Give what is inside: ${printableText(label)}/${printable(name)}`
  const inner = quote(printable(name))
  if (what === 'directory') return `Pack what is in the directory: tar -C ${inner} -cf image.tar .`
  return `Take it out first: tar -xf ${label === standardInput ? '-' : quote(printableText(label))} ${inner}`
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}

function notAnImage(looksLike: string, hint?: string): ImgtoolError {
  return new ImgtoolError(
    'FORMAT_UNKNOWN',
    `Cannot find an image in the archive: it ${looksLike}`,
    hint === undefined ? {} : {hint},
  )
}
