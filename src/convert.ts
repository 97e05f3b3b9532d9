/** Writes the images of an archive to another one, in any format. */
import type {Blob} from './archive/archive.ts'
import {type Choice, type GzipCompressor, startCompressor} from './compression/compress.ts'
import {type CopiedLayer, type LayerCompression, LayerCopier} from './copy-layer.ts'
import {checkName, type Destination, type Format} from './destination.ts'
import {type Digest, sha256} from './digest.ts'
import {ImgtoolError} from './errors.ts'
import {dropEmptyLayers, withPlatform} from './image/better-config.ts'
import {whyMissing} from './image/missing.ts'
import type {Image, Platform, V1Node} from './image/model.ts'
import {splitTag} from './image/names.ts'
import {configFromV1, type V1Config} from './image/v1-config.ts'
import {DockerArchiveWriter} from './image/write/docker-archive.ts'
import {DockerV1Writer} from './image/write/docker-v1.ts'
import {OciWriter} from './image/write/oci.ts'
import type {ImageWriter, NewImage} from './image/write/writer.ts'
import type {OnWarning} from './layer/change.ts'
import {startBudget} from './layer/read.ts'
import {defaultLimits, type Limits} from './limits.ts'
import {formatPlatform, requireWhole, type Source} from './open.ts'
import {explainWriteError, type Output, type OutputOptions, openOutput} from './output.ts'
import {printableText} from './text.ts'
import {startHashing} from './threads.ts'
import type {Progress} from './unpack.ts'

export type {LayerCompression} from './copy-layer.ts'

export interface ConvertOptions extends OutputOptions {
  /** @default 'keep', where the readers of the format take what is there, else 'none' */
  readonly compression?: LayerCompression | undefined
  readonly level?: number | undefined
  readonly compressor?: 'auto' | GzipCompressor | undefined
  /** Threads to compress with, which the result does not depend on; by default one a core. */
  readonly threads?: number | undefined
  /** Names instead of those that the images have. */
  readonly names?: readonly string[]
  /**
   * Leave out layers with nothing in them, and mark their steps as such; and in the config of an image from before docker
   * 1.10 say the platform. Image IDs change where there is something to do.
   */
  readonly dropEmptyLayers?: boolean
  readonly limits?: Limits
  readonly onWarning?: OnWarning
  readonly onProgress?: (progress: Progress) => void
}

export interface ConvertResult {
  readonly format: Format
  readonly images: readonly {
    readonly names: readonly string[]
    readonly imageID: Digest
    readonly platform: Platform
    readonly diffIDs: readonly Digest[]
  }[]
  /** Each stored layer once. */
  readonly layers: readonly Pick<CopiedLayer, 'diffID' | 'digest' | 'size' | 'compression' | 'isKept'>[]
  /** Who compressed, where something was compressed. */
  readonly compressor?: Choice
}

/**
 * Writes images to a destination, which appears complete and verified, or not at all; standard output aside.
 *
 * Configs are copied byte for byte, so that image IDs stay; an image from before docker 1.10 gets the config that dockerd
 * makes of it. Memory does not depend on the size of layers.
 *
 * @param images of the source
 * @throws {ImgtoolError} IMAGE_UNSUITABLE for what the format cannot hold, IMAGE_AMBIGUOUS for one name for several images,
 *   TARGET_EXISTS, TARGET_INVALID, PERMISSION_DENIED, NO_SPACE, PARENT_MISSING, BLOB_MISSING, and whatever reading layers throws
 */
export async function convertImages(
  source: Source,
  images: readonly Image[],
  destination: Destination,
  options: ConvertOptions = {},
): Promise<ConvertResult> {
  for (const image of images) requireLayers(source, image)
  const named = renameImages(images, destination, options)
  try {
    await using output = await openOutput(destination, options)
    const writer = writers[destination.format](output)
    const result = await writeImages(source, named, writer, destination.format, options)
    options.signal?.throwIfAborted()
    await output.commit()
    return result
  } catch (error) {
    throw explainWriteError(error, destination.path)
  }
}

const writers: Readonly<Record<Format, (output: Output) => ImageWriter>> = {
  oci: ({archive, existing}) => new OciWriter(archive, existing),
  'oci-archive': ({archive}) => new OciWriter(archive),
  'docker-archive': ({archive}) => new DockerArchiveWriter(archive),
  'docker-1.10': ({archive}) => new DockerV1Writer(archive, {manifest: true}),
  'docker-v1': ({archive}) => new DockerV1Writer(archive, {manifest: false}),
}

/** A layer that is missing must not be found out when the others are written. */
function requireLayers(source: Source, image: Image): void {
  requireWhole(source, image)
  const damage = image.layers.map(({blob}) => whyMissing(blob)).find((error) => error !== undefined)
  if (damage !== undefined) throw damage
}

async function writeImages(
  source: Source,
  images: readonly Image[],
  writer: ImageWriter,
  format: Format,
  options: ConvertOptions,
): Promise<ConvertResult> {
  const {limits = defaultLimits, signal, onProgress, dropEmptyLayers: dropEmpty = false} = options
  const compression = requireCompression(writer, format, options.compression ?? 'keep')
  await using compressor = isCompressed(compression)
    ? await startCompressor({
        compression,
        level: options.level,
        compressor: options.compressor,
        threads: options.threads,
      })
    : undefined
  const again = options.level !== undefined || (options.compressor ?? 'auto') !== 'auto'
  const copier = new LayerCopier(writer, {compression, compressor, again, dropEmpty, signal})
  const progress = new Meter(images, onProgress)
  await using threads = startHashing(progress.totalBytes)
  if (!dropEmpty) writer.expect(images.flatMap(predict))
  const copies = new Map<Image, readonly CopiedLayer[]>()
  for (const image of images) {
    const budget = startBudget(limits)
    const layers: CopiedLayer[] = []
    for (const layer of image.layers) {
      const blob = progress.watch(layer.blob)
      layers.push(await copier.copy({...layer, blob}, budget, threads.tools))
    }
    copies.set(image, layers)
  }
  const configs = new Configs(source)
  const written: NewImage[] = []
  for (const image of images) written.push(toNewImage(image, copies.get(image)!, configs, options))
  const known = new Set(written.map(({imageID}) => imageID))
  for (const image of written) {
    const {parent} = image
    await writer.addImage({...image, parent: parent !== undefined && known.has(parent) ? parent : undefined})
  }
  await writer.finish()
  return {
    format,
    images: written.map(({names, imageID, platform, layers}) => ({
      names,
      imageID,
      platform,
      diffIDs: layers.map(({diffID}) => diffID),
    })),
    layers: copier.layers.filter(({isDropped}) => !isDropped).map(({isDropped: _, ...layer}) => layer),
    ...(compressor && {compressor: compressor.choice}),
  }
}

function isCompressed(compression: LayerCompression): compression is 'gzip' | 'zstd' {
  return compression === 'gzip' || compression === 'zstd'
}

function requireCompression(writer: ImageWriter, format: Format, compression: LayerCompression): LayerCompression {
  if (compression === 'keep' || writer.compressions.has(compression)) return compression
  const choices = ['keep', ...writer.compressions].join(', ')
  throw new ImgtoolError(
    'REFERENCE_INVALID',
    `Cannot write ${format} with layers in ${compression}: its readers do not take them, expected one of ${choices}`,
  )
}

/** What is known of an image before its layers are read. */
function predict({imageID, config, layers}: Image): {config: Buffer; diffIDs: Digest[]}[] {
  if (imageID === undefined) return []
  return [{config, diffIDs: layers.map(({diffID}) => diffID!)}]
}

function toNewImage(
  image: Image,
  copies: readonly CopiedLayer[],
  configs: Configs,
  {dropEmptyLayers: isBetter = false}: ConvertOptions,
): NewImage {
  const {names, platform, format} = image
  const {config, parent} = configs.of(image, copies)
  const layers = copies.filter(({isDropped}) => !isDropped)
  const completed = isBetter && format === 'docker-v1' ? withPlatform(config, platform) : config
  const rewritten = dropEmptyLayers(
    completed,
    copies.map(({isDropped}) => isDropped),
  )
  return {
    names,
    platform,
    imageID: sha256(rewritten),
    config: rewritten,
    layers,
    parent,
    ...(format === 'oci' && {manifest: image.manifest}),
    ...(format === 'docker-v1' && !isBetter && {v1: configs.nodesOf(image)}),
  }
}

/** Configs of images, also of those from before docker 1.10, which have none. */
class Configs {
  readonly #nodes: ReadonlyMap<string, V1Node>
  /** By v1 id: images share ancestors. */
  readonly #converted = new Map<string, V1Config>()

  constructor(source: Source) {
    this.#nodes = source.set.v1
  }

  /** The layers' documents of an image from before docker 1.10, base first. */
  nodesOf(image: Image): V1Node[] {
    return image.layers.map(({v1ID}) => this.#nodes.get(v1ID!)!)
  }

  of(image: Image, copies: readonly CopiedLayer[]): {config: Buffer; parent: Digest | undefined} {
    if (image.imageID !== undefined) return {config: image.config, parent: image.parent}
    let top: V1Config | undefined
    let parent: V1Config | undefined
    for (const [at, node] of this.nodesOf(image).entries()) {
      parent = top
      top = this.#converted.get(node.id) ?? configFromV1(node.json, parent, copies[at]!.diffID)
      this.#converted.set(node.id, top)
    }
    return {config: top!.config, parent: parent?.imageID}
  }
}

/** Gives images the names that were asked for, and names that the format can hold. */
function renameImages(images: readonly Image[], destination: Destination, options: ConvertOptions): readonly Image[] {
  const {format, name} = destination
  const given = [...(name === undefined ? [] : [name]), ...(options.names ?? []).map(checkName)]
  if (given.length > 0) requireOneName(images)
  const renamed = given.length === 0 ? images : images.map((image) => ({...image, names: [...new Set(given)]}))
  if (format.startsWith('oci')) return renamed
  const tagged = renamed.map((image) => ({...image, names: taggedNames(image.names, given.length > 0, options)}))
  requireOneImageEach(tagged, format)
  return tagged
}

/** Several images may only share a name when they are one image for several platforms. */
function requireOneName(images: readonly Image[]): void {
  const platforms = new Set(images.map(({platform}) => formatPlatform(platform)))
  const names = new Set(images.map((image) => image.names.join()))
  if (platforms.size === images.length && names.size === 1) return
  throw new ImgtoolError('IMAGE_AMBIGUOUS', `Cannot give ${images.length} images one name`, {
    hint: 'Choose one of them: SOURCE:NAME, SOURCE:@INDEX or --platform',
  })
}

/** docker knows names with tags only. A name that was asked for gets docker's usual tag. */
function taggedNames(names: readonly string[], given: boolean, {onWarning}: ConvertOptions): string[] {
  return names.flatMap((name) => {
    if (splitTag(name) !== undefined) return [name]
    if (given) return [`${name}:latest`]
    onWarning?.({
      code: 'NAME_LOST',
      message: `The name "${printableText(name)}" has no tag, which docker's archives cannot hold; give one with --tag`,
    })
    return []
  })
}

function requireOneImageEach(images: readonly Image[], format: Format): void {
  const owners = new Map<string, Image>()
  for (const image of images) {
    for (const name of image.names) {
      const owner = owners.get(name)
      if (owner !== undefined) {
        const platforms = [owner, image].map(({platform}) => formatPlatform(platform))
        throw new ImgtoolError(
          'IMAGE_UNSUITABLE',
          `Cannot write "${printableText(name)}" for ${platforms.join(' and ')} as ${format}, which holds one image a name`,
          {hint: `Choose one with --platform ${platforms[0]}, or write oci-archive:`},
        )
      }
      owners.set(name, image)
    }
  }
}

/** Counts stored bytes on their way; what several images share is read once. */
class Meter {
  readonly totalBytes: number
  readonly #blobs = new Map<Blob, Blob>()
  readonly #onProgress: ((progress: Progress) => void) | undefined
  #layer = -1
  #bytes = 0

  constructor(images: readonly Image[], onProgress: ((progress: Progress) => void) | undefined) {
    this.#onProgress = onProgress
    for (const {blob} of images.flatMap(({layers}) => layers)) this.#blobs.set(blob, this.#counting(blob))
    this.totalBytes = [...this.#blobs.keys()].reduce((sum, {size}) => sum + size, 0)
  }

  /** The blob that counts, always the same one for the same. */
  watch(blob: Blob): Blob {
    return this.#blobs.get(blob)!
  }

  #counting(blob: Blob): Blob {
    const read = (bytes: number) => {
      this.#bytes += bytes
      const {totalBytes} = this
      this.#onProgress?.({layer: this.#layer, layers: this.#blobs.size, bytes: this.#bytes, totalBytes})
    }
    const begin = () => this.#layer++
    return {
      ...blob,
      async *stream(buffers) {
        begin()
        for await (const chunk of blob.stream(buffers)) {
          yield chunk
          read(chunk.length)
        }
      },
    }
  }
}
