/** Sizes of layers for people: exact where they cost nothing, else what the archive itself says. */
import {ImgtoolError} from './errors.ts'
import type {Layer} from './image/model.ts'
import {measureLayer, type ReadingBudget} from './layer/measure.ts'
import {defaultLimits, type Limits} from './limits.ts'

export interface LayerSize {
  /** Sum of the sizes of the layer's files, bytes; where not {@link exact}, of its stored tar or as its document claims. */
  readonly size: number
  readonly exact: boolean
}

/** Bytes that all layers of one call may cost when sizes need not be exact: too few to be noticed. */
const quickBudget = 1024 * 1024

/**
 * Measures layers.
 *
 * @param options.exact read whatever is needed: the headers of uncompressed layers, compressed layers whole.
 *   Else at most 1 MiB is read, and what that does not tell is estimated
 * @returns one a layer, in the same order
 * @throws {ImgtoolError} with `exact`, for a layer that cannot be read
 */
export async function measureLayers(
  layers: readonly Pick<Layer, 'blob' | 'claimedSize'>[],
  options: {readonly exact?: boolean; readonly limits?: Limits} = {},
): Promise<LayerSize[]> {
  const limits = options.limits ?? defaultLimits
  const budget = options.exact ? undefined : {left: quickBudget}
  const sizes: LayerSize[] = []
  for (const layer of layers) sizes.push(await measure(layer, limits, budget))
  return sizes
}

async function measure(
  layer: Pick<Layer, 'blob' | 'claimedSize'>,
  limits: Limits,
  budget: ReadingBudget | undefined,
): Promise<LayerSize> {
  const {filesSize} = layer.blob
  if (budget !== undefined && filesSize !== undefined) return {size: filesSize, exact: true}
  try {
    const size = await measureLayer(layer.blob, limits, budget)
    if (size !== undefined) return {size, exact: true}
  } catch (error) {
    // Who only looks at a tree need not be stopped by a layer that cannot be unpacked.
    if (budget === undefined || !(error instanceof ImgtoolError)) throw error
  }
  // Documents that do not know the size say 0, or nothing.
  return {size: layer.claimedSize || layer.blob.size, exact: false}
}
