/** Sizes of layers for commands that only show them: what is missing from a partial archive does not stop them. */
import type {Compression} from '../compression/detect.ts'
import {whyMissing} from '../image/missing.ts'
import type {Image, Layer} from '../image/model.ts'
import {compressionOf} from '../layer/read.ts'
import type {Limits} from '../limits.ts'
import {measureLayers} from '../sizes.ts'

export interface Measure {
  /** Bytes of the files in the layer. */
  readonly size: number
  /** Else it was estimated without reading the layer. */
  readonly exact: boolean
  /** A layer is not there, whose size reading would not tell. */
  readonly partial?: boolean
}

export interface MeasureOptions {
  /** Reads what is needed, instead of estimating. */
  readonly exact: boolean
  readonly limits: Limits
}

type Measurable = Pick<Layer, 'blob' | 'claimedSize'>

/** What an absent layer weighs: what its document claims. */
const unknown = {size: 0, exact: false, partial: true}

/**
 * Measures layers, each stored layer once.
 *
 * @returns one a layer, in the same order
 */
export async function measure(layers: readonly Measurable[], options: MeasureOptions): Promise<Measure[]> {
  const distinct = new Map(layers.map((layer) => [layer.blob, layer]))
  const present = [...distinct.values()].filter(({blob}) => whyMissing(blob) === undefined)
  const measures = await measureLayers(present, options)
  const byBlob = new Map(present.map(({blob}, n) => [blob, measures[n]]))
  return layers.map(({blob, claimedSize}) => byBlob.get(blob) ?? {...unknown, size: claimedSize ?? 0})
}

/**
 * Measures images.
 *
 * @returns one an image, in the same order
 */
export async function measureImages(images: readonly Image[], options: MeasureOptions): Promise<Measure[]> {
  const layers = images.flatMap((image) => image.layers)
  const measures = await measure(layers, options)
  let start = 0
  return images.map((image) => {
    const end = start + image.layers.length
    const total = sum(measures.slice(start, end))
    start = end
    return total
  })
}

/** What `~` means, where there is one that reading more would take away. */
export function explainEstimates(measures: readonly Measure[], {exact}: {readonly exact: boolean}): string | undefined {
  if (exact || measures.every((measured) => measured.exact || measured.partial)) return undefined
  return 'Sizes with ~ are estimates from stored bytes; --exact-sizes reads the layers'
}

/**
 * What the stored bytes of layers are compressed with; their media types are not believed.
 *
 * @returns one a layer, in the same order; undefined for one that is not there
 */
export async function detectCompressions(layers: readonly Pick<Layer, 'blob'>[]): Promise<(Compression | undefined)[]> {
  const compressions: (Compression | undefined)[] = []
  for (const {blob} of layers) compressions.push(whyMissing(blob) === undefined ? await compressionOf(blob) : undefined)
  return compressions
}

function sum(measures: Iterable<Measure>): Measure {
  let total = {size: 0, exact: true, partial: false}
  for (const {size, exact, partial = false} of measures) {
    total = {size: total.size + size, exact: total.exact && exact, partial: total.partial || partial}
  }
  return total
}
