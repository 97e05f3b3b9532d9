/** Stands for bytes that a document names and the archive does not hold: listing works, reading says what is missing. */
import type {Blob} from '../archive/archive.ts'
import type {ImgtoolError} from '../errors.ts'
import type {ByteString} from '../text.ts'
import type {Image} from './model.ts'

const missing = new WeakMap<Blob, ImgtoolError>()

/** @param size as the document claims it, bytes */
export function missingBlob(name: ByteString, size: number, error: ImgtoolError): Blob {
  const blob: Blob = {
    name,
    size,
    read: () => Promise.reject(error),
    stream: () => ({[Symbol.asyncIterator]: () => ({next: () => Promise.reject(error)})}),
  }
  missing.set(blob, error)
  return blob
}

/** Why the blob cannot be read; undefined for bytes that are there. */
export function whyMissing(blob: Blob): ImgtoolError | undefined {
  return missing.get(blob)
}

/** Why an image can be listed, but not read: the first of its layers that is not there. */
export function brokenBy(layers: Image['layers']): Pick<Image, 'broken'> {
  const broken = layers.map(({blob}) => whyMissing(blob)).find((error) => error !== undefined)
  return broken === undefined ? {} : {broken}
}

/**
 * Refuses an image of which not everything is there before anything is done with it: what is missing must not be found out
 * when half of the work is done.
 *
 * @throws {ImgtoolError} PARENT_MISSING or BLOB_MISSING
 */
export function requireWhole({broken, layers}: Pick<Image, 'broken' | 'layers'>): void {
  if (broken !== undefined) throw broken
  for (const {blob, index} of layers) {
    const error = whyMissing(blob)
    if (error !== undefined) throw error.within({layer: index})
  }
}
