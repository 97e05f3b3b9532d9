/** Writes an image of which several layers became one. */
import type {Compression} from './compression/detect.ts'
import {type ConvertOptions, type ConvertResult, convertImages} from './convert.ts'
import type {Destination} from './destination.ts'
import {ImgtoolError} from './errors.ts'
import {flattenImage} from './flatten-image.ts'
import {resolveV1} from './ids.ts'
import {withPlatform} from './image/better-config.ts'
import {requireWhole} from './image/missing.ts'
import {type Image, storedSize} from './image/model.ts'
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
  const known = await withConfig(source, image, options)
  const compression = options.compression ?? (await commonCompression(image, destination))
  let flat: FlatFacts | undefined
  const converted = await convertImages(
    source,
    [{...known, layers: known.layers.slice(0, from)}],
    destination,
    {...rest, compression},
    {
      size: storedSize(image),
      async *tar(tools) {
        flat = yield* flattenImage(image, from, {...rest, tools})
      },
      config: (diffID) => squashConfig(known.config, from, image.layers.length, diffID),
    },
  )
  return {...converted, from, squashed: image.layers.length - from, flat: flat!}
}

function findLayer({layers}: Image, wanted: number): number {
  const index = wanted < 0 ? layers.length + wanted : wanted
  if (index >= 0 && index < layers.length) return index
  const known = layers.length === 0 ? 'the image has none' : `the topmost is ${layers.length - 1}, the lowest 0`
  throw new ImgtoolError('PATH_NOT_FOUND', `Cannot find layer ${wanted}: ${known}`)
}

/** An image with a config, also one from before docker 1.10; it is a child of no other any more. */
async function withConfig(source: Source, image: Image, {limits, signal}: SquashOptions): Promise<Image> {
  const {parent: _, v1ID, ...known} = image
  if (image.format !== 'docker-v1') return known
  const options = {wanted: [v1ID!], ...(limits && {limits}), ...(signal && {signal})}
  const {config, diffIDs, imageID} = (await resolveV1(source.set, options)).get(v1ID!)!
  const layers = image.layers.map((layer, at) => ({...layer, diffID: diffIDs[at]!}))
  return {...known, format: 'docker-archive', config: withPlatform(config, image.platform), imageID, layers}
}

/** A new layer is stored as all the others are, where readers of the format take it. */
async function commonCompression({layers}: Image, {format}: Destination): Promise<'keep' | 'gzip' | 'zstd'> {
  if (!format.startsWith('oci')) return 'keep'
  const found = new Set<Compression>()
  for (const {blob} of layers) found.add(await compressionOf(blob))
  const [first] = found
  return found.size === 1 && (first === 'gzip' || first === 'zstd') ? first : 'keep'
}
