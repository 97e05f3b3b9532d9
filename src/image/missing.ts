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

/**
 * Refuses an image that cannot be read whole: a layer that is missing must not be found out when the others are written.
 *
 * @throws {ImgtoolError} PARENT_MISSING, BLOB_MISSING
 */
export function requireLayers({broken, layers}: Image): void {
  const damage = broken ?? layers.map(({blob}) => whyMissing(blob)).find((error) => error !== undefined)
  if (damage !== undefined) throw damage
}
