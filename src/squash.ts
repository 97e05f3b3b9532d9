/** Writes an image of which several layers became one. */
import {rangeBlob} from './archive/file-range.ts'
import {openSpool} from './archive/spool.ts'
import type {Compression} from './compression/detect.ts'
import {type ConvertOptions, type ConvertResult, convertImages} from './convert.ts'
import type {Destination} from './destination.ts'
import {type Digest, sha256, startDigest} from './digest.ts'
import {ImgtoolError} from './errors.ts'
import {flattenImage} from './flatten-image.ts'
import {resolveV1} from './ids.ts'
import {withPlatform} from './image/better-config.ts'
import {requireWhole} from './image/missing.ts'
import type {Image, Layer} from './image/model.ts'
import {squashConfig} from './image/squash-config.ts'
import type {FlatFacts} from './layer/flatten.ts'
import {compressionOf} from './layer/read.ts'
import type {Source} from './open.ts'

export interface SquashOptions extends Omit<ConvertOptions, 'dropEmptyLayers'> {
  /** First layer that goes into the new one, from 0; negative counts from the top. @default 0 */
  readonly from?: number
}

export interface SquashResult extends ConvertResult {
  /** Place of the new layer, from 0. */
  readonly from: number
  /** Layers that went into it. */
  readonly squashed: number
  /** What it holds. */
  readonly flat: FlatFacts
}

/**
 * Makes one layer of the layers from one on, and writes the image with it; the layers before, the config and the history
 * stay. The new layer does on the lower ones what the old ones did, and the same image gives the same bytes.
 *
 * The new layer lies in a temporary file without a name meanwhile.
 *
 * @throws {ImgtoolError} PATH_NOT_FOUND for a layer that is not there, and as {@link convertImages}
 */
export async function squashImage(
  source: Source,
  image: Image,
  destination: Destination,
  options: SquashOptions = {},
): Promise<SquashResult> {
  requireWhole(image)
  const {from: first = 0, ...rest} = options
  const from = findLayer(image, first)
  const flat = await spoolLayers(image, from, options)
  try {
    const squashed = await replaceLayers(source, image, from, flat.layer, options)
    const compression = options.compression ?? (await commonCompression(image, destination))
    const converted = await convertImages(source, [squashed], destination, {...rest, compression})
    return {...converted, from, squashed: image.layers.length - from, flat: flat.facts}
  } finally {
    await flat.close()
  }
}

function findLayer({layers}: Image, wanted: number): number {
  const index = wanted < 0 ? layers.length + wanted : wanted
  if (index >= 0 && index < layers.length) return index
  const known = layers.length === 0 ? 'the image has none' : `the topmost is ${layers.length - 1}, the lowest 0`
  throw new ImgtoolError('PATH_NOT_FOUND', `Cannot find layer ${wanted}: ${known}`)
}

interface FlatLayer {
  readonly layer: Layer & {readonly diffID: Digest}
  readonly facts: FlatFacts
  close(): Promise<void>
}

/** Writes the new layer to a temporary file: the config, which may have to come first, has its digest. */
async function spoolLayers(image: Image, from: number, options: SquashOptions): Promise<FlatLayer> {
  const file = await openSpool()
  const {handle} = file
  try {
    const running = startDigest()
    const pieces = flattenImage(image, from, options)
    for (let step = await pieces.next(); ; step = await pieces.next()) {
      if (step.done) {
        const range = {
          name: 'squashed layer',
          offset: 0,
          size: file.size,
          open: async () => handle,
          close: async () => {},
        }
        const layer = {index: from, blob: rangeBlob(range), diffID: running.digest()}
        return {layer, facts: step.value, close: () => handle.close()}
      }
      running.update(step.value)
      await file.write(step.value)
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function replaceLayers(
  source: Source,
  image: Image,
  from: number,
  layer: FlatLayer['layer'],
  {limits, signal}: SquashOptions,
): Promise<Image> {
  const {parent: _, v1ID, ...known} = image
  let {config, layers} = image
  if (image.format === 'docker-v1') {
    const options = {wanted: [v1ID!], ...(limits && {limits}), ...(signal && {signal})}
    const resolved = (await resolveV1(source.set, options)).get(v1ID!)!
    config = withPlatform(resolved.config, image.platform)
    layers = layers.map((each, at) => ({...each, diffID: resolved.diffIDs[at]!}))
  }
  const rewritten = squashConfig(config, from, layers.length, layer.diffID)
  return {
    ...known,
    format: image.format === 'docker-v1' ? 'docker-archive' : image.format,
    imageID: sha256(rewritten),
    config: rewritten,
    layers: [...layers.slice(0, from), layer],
  }
}

/** A new layer is stored as all the others are, where readers of the format take it. */
async function commonCompression({layers}: Image, {format}: Destination): Promise<'keep' | 'gzip' | 'zstd'> {
  if (!format.startsWith('oci')) return 'keep'
  const found = new Set<Compression>()
  for (const {blob} of layers) found.add(await compressionOf(blob))
  const [first] = found
  return found.size === 1 && (first === 'gzip' || first === 'zstd') ? first : 'keep'
}
