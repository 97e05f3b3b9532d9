/** One layer that does what several layers of an image do, as a tar; for export and squash. */
import {requireWhole} from './image/missing.ts'
import type {Image, Layer} from './image/model.ts'
import type {OnWarning} from './layer/change.ts'
import {type FlatFacts, type FlattenOptions, flatten} from './layer/flatten.ts'
import {compressionOf, startBudget} from './layer/read.ts'
import {defaultLimits, type Limits} from './limits.ts'
import type {Progress} from './unpack.ts'

export interface FlattenImageOptions extends Pick<FlattenOptions, 'directoriesLast' | 'tools'> {
  readonly limits?: Limits | undefined
  readonly onWarning?: OnWarning | undefined
  /** Called now and then with what is done so far; compressed layers are read twice, and counted so. */
  readonly onProgress?: ((progress: Progress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * The tar of the layers from one on.
 *
 * @returns as {@link flatten}
 * @throws {ImgtoolError} PARENT_MISSING, BLOB_MISSING, and whatever reading layers throws
 */
export async function* flattenImage(
  image: Image,
  from: number,
  options: FlattenImageOptions = {},
): AsyncGenerator<Buffer, FlatFacts> {
  requireWhole(image)
  const {limits = defaultLimits, onProgress, ...rest} = options
  const onRead = onProgress && (await startMeter(image.layers, onProgress))
  const budgets = [startBudget(limits), startBudget(limits)] as const
  return yield* flatten(image.layers, budgets, {...rest, from, onRead})
}

async function startMeter(
  layers: readonly Layer[],
  onProgress: (progress: Progress) => void,
): Promise<FlattenOptions['onRead']> {
  let bytes = 0
  let totalBytes = 0
  for (const {blob} of layers) totalBytes += (await compressionOf(blob)) === 'none' ? blob.size : 2 * blob.size
  return (layer, read) => {
    bytes += read
    onProgress({layer, layers: layers.length, bytes, totalBytes})
  }
}
