/** Writes the images of an archive to another one, in any format. */
import type {Blob} from './archive/archive.ts'
import {type Choice, type GzipCompressor, startCompressor} from './compression/compress.ts'
import {type CopiedLayer, type LayerCompression, LayerCopier} from './copy-layer.ts'
import type {Destination, Format} from './destination.ts'
import {type Digest, sha256} from './digest.ts'
import {ImgtoolError} from './errors.ts'
import {saysSystem} from './image/better-config.ts'
import {requireWhole} from './image/missing.ts'
import type {Image, Platform} from './image/model.ts'
import {DockerArchiveWriter} from './image/write/docker-archive.ts'
import {DockerV1Writer} from './image/write/docker-v1.ts'
import {OciWriter} from './image/write/oci.ts'
import type {ImageWriter, NewImage} from './image/write/writer.ts'
import {type ReadOptions, startBudget} from './layer/read.ts'
import {defaultLimits, type Limits} from './limits.ts'
import {type CopiedImage, toNewImages} from './new-images.ts'
import {describeTaken, type NameOptions, renameImages} from './new-names.ts'
import type {Source} from './open.ts'
import {explainWriteError, type Output, type OutputOptions, openOutput} from './output.ts'
import {startHashing} from './threads.ts'
import type {Progress} from './unpack.ts'

export type {LayerCompression} from './copy-layer.ts'

export interface ConvertOptions extends OutputOptions, NameOptions {
  /** @default 'keep', where the readers of the format take what is there, else 'none' */
  readonly compression?: LayerCompression | undefined
  readonly level?: number | undefined
  readonly compressor?: 'auto' | GzipCompressor | undefined
  /** Threads to compress with, which the result does not depend on; by default one a core. */
  readonly threads?: number | undefined
  /**
   * Leave out layers with nothing in them, and mark their steps as such; and in the config of an image from before docker
   * 1.10 say the platform. Image IDs change where there is something to do.
   */
  readonly dropEmptyLayers?: boolean
  readonly limits?: Limits
  readonly onProgress?: (progress: Progress) => void
}

/** A layer that is made, on top of those of an image, and what it changes of the config. */
export interface TopLayer {
  /** Bytes that making it reads. */
  readonly size: number
  /** Its tar. @param tools to read with */
  tar(tools: ReadOptions['tools']): AsyncIterable<Buffer>
  config(diffID: Digest): Buffer
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
 * @param top goes on each of them, which are none from before docker 1.10 then
 * @throws {ImgtoolError} IMAGE_UNSUITABLE for what the format cannot hold, IMAGE_AMBIGUOUS for one name for several images,
 *   TARGET_EXISTS, TARGET_INVALID, PERMISSION_DENIED, NO_SPACE, PARENT_MISSING, BLOB_MISSING, and whatever reading layers throws
 */
export async function convertImages(
  source: Source,
  images: readonly Image[],
  destination: Destination,
  options: ConvertOptions = {},
  top?: TopLayer,
): Promise<ConvertResult> {
  for (const image of images) requireWhole(image)
  const named = renameImages(images, destination, options)
  try {
    await using output = await openOutput(destination, options)
    const writer = writers[destination.format](output, (name, from) => options.onWarning?.(describeTaken(name, from)))
    const result = await writeImages(source, named, writer, destination.format, options, top)
    await output.commit()
    return result
  } catch (error) {
    throw explainWriteError(error, destination.path)
  }
}

type OnTaken = ConstructorParameters<typeof OciWriter>[2]

const writers: Readonly<Record<Format, (output: Output, onTaken: OnTaken) => ImageWriter>> = {
  oci: ({archive, existing}, onTaken) => new OciWriter(archive, existing, onTaken),
  'oci-archive': ({archive}) => new OciWriter(archive),
  'docker-archive': ({archive}) => new DockerArchiveWriter(archive),
  'docker-1.10': ({archive}) => new DockerV1Writer(archive, {manifest: true}),
  'docker-v1': ({archive}) => new DockerV1Writer(archive, {manifest: false}),
}

async function writeImages(
  source: Source,
  images: readonly Image[],
  writer: ImageWriter,
  format: Format,
  options: ConvertOptions,
  top: TopLayer | undefined,
): Promise<ConvertResult> {
  const {dropEmptyLayers: dropEmpty = false, signal, level} = options
  const compression = requireCompression(writer, format, options.compression ?? 'keep')
  await using compressor = isCompressed(compression) ? await startCompressor({...options, compression}) : undefined
  const again = isCompressed(compression) && (level !== undefined || (options.compressor ?? 'auto') !== 'auto')
  const copier = new LayerCopier(writer, {compression, compressor, again, dropEmpty, signal})
  if (!dropEmpty && top === undefined) writer.expect(images.flatMap(predict))
  const copies = await copyLayers(images, copier, options, top)
  const written = await toNewImages(copies, source, dropEmpty)
  if (hasIndex.has(format)) warnOfPlatforms(written, options)
  for (const image of written) await writer.addImage(image)
  // From here on the images are there, or will be in a moment.
  signal?.throwIfAborted()
  await writer.finish()
  return {
    format,
    images: written.map(describe),
    layers: copier.layers.filter(({isDropped}) => !isDropped).map(({isDropped: _, ...layer}) => layer),
    ...(compressor && {compressor: compressor.choice}),
  }
}

async function copyLayers(
  images: readonly Image[],
  copier: LayerCopier,
  {limits = defaultLimits, onProgress}: ConvertOptions,
  top: TopLayer | undefined,
): Promise<CopiedImage[]> {
  const progress = new Meter(images, onProgress)
  await using threads = startHashing(progress.totalBytes + (top?.size ?? 0))
  const copies: CopiedImage[] = []
  for (const image of images) {
    const budget = startBudget(limits)
    const layers: CopiedLayer[] = []
    for (const layer of image.layers) {
      const onRead = (bytes: number) => progress.report(layer.blob, bytes)
      layers.push(await copier.copy(layer, budget, {tools: threads.tools, onRead}))
    }
    copies.push(top === undefined ? {image, layers} : await addTop({image, layers}, top, copier, threads.tools))
  }
  return copies
}

async function addTop(
  {image, layers}: CopiedImage,
  top: TopLayer,
  copier: LayerCopier,
  tools: ReadOptions['tools'],
): Promise<CopiedImage> {
  const made = await copier.make(top.tar(tools), top.size, tools)
  const config = top.config(made.diffID)
  return {image: {...image, config, imageID: sha256(config)}, layers: [...layers, made]}
}

function describe({names, imageID, platform, layers}: NewImage): ConvertResult['images'][number] {
  return {names, imageID, platform, diffIDs: layers.map(({diffID}) => diffID)}
}

/** What readers of OCI take. */
const hasIndex: ReadonlySet<Format> = new Set(['oci', 'oci-archive', 'docker-archive'])

/** docker before 0.9 did not write an operating system, and what dockerd makes of it does not either. */
function warnOfPlatforms(images: readonly NewImage[], {onWarning}: ConvertOptions): void {
  if (images.every(({config}) => saysSystem(config))) return
  onWarning?.({
    code: 'PLATFORM_UNSAID',
    message:
      'The config does not say an operating system, without which some readers of OCI refuse an image; --drop-empty-layers adds it',
  })
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
  if (imageID === undefined || layers.some(({diffID}) => diffID === undefined)) return []
  return [{config, diffIDs: layers.map(({diffID}) => diffID!)}]
}

/** Adds up stored bytes as they are read; what several images share is read once. */
class Meter {
  readonly totalBytes: number
  readonly #layers: number
  readonly #onProgress: ((progress: Progress) => void) | undefined
  readonly #read = new Map<Blob, number>()
  #bytes = 0

  constructor(images: readonly Image[], onProgress: ((progress: Progress) => void) | undefined) {
    const blobs = new Set(images.flatMap(({layers}) => layers.map(({blob}) => blob)))
    this.#layers = blobs.size
    this.totalBytes = [...blobs].reduce((sum, {size}) => sum + size, 0)
    this.#onProgress = onProgress
  }

  /** @param bytes of the blob that have been read up to now */
  report(blob: Blob, bytes: number): void {
    this.#bytes += bytes - (this.#read.get(blob) ?? 0)
    this.#read.set(blob, bytes)
    const {totalBytes} = this
    this.#onProgress?.({layer: this.#read.size - 1, layers: this.#layers, bytes: this.#bytes, totalBytes})
  }
}
