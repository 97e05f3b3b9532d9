/** Tells damage from refusals, and remembers which layers turned out to be damaged: that is only known when they are read. */
import type {Blob} from '../archive/archive.ts'
import {type ErrorCode, type ImgtoolError, isImgtoolError} from '../errors.ts'

const damaged = new WeakMap<Blob, ImgtoolError>()
const malformed = new WeakSet<ImgtoolError>()

/** What the bytes of a layer are to blame for, whoever reads them. */
const codesOfBytes: ReadonlySet<ErrorCode> = new Set(['DIGEST_MISMATCH', 'TAR_INVALID', 'TAR_TRUNCATED'])
/** What nothing that is read is to blame for. */
const codesOfRun: ReadonlySet<ErrorCode> = new Set(['INTERRUPTED', 'LIMIT_EXCEEDED', 'NO_SPACE', 'PERMISSION_DENIED'])

/** Remembers why bytes of a layer could not be had: also a disk that cannot be read is damage. */
export function markUnreadable(layer: Blob, error: unknown): void {
  if (isImgtoolError(error) && !codesOfRun.has(error.code)) damaged.set(layer, error)
}

/** Remembers why a layer was refused, if its bytes were the reason. */
export function markRefused(layer: Blob, error: unknown): void {
  if (isImgtoolError(error) && codesOfBytes.has(error.code)) damaged.set(layer, error)
}

/** Why a layer could not be read; undefined for one that could be, or was not read. */
export function whyDamaged(layer: Blob): ImgtoolError | undefined {
  return damaged.get(layer)
}

/** What is wrong with one image of an archive, and with no other. */
const codesOfImage: ReadonlySet<ErrorCode> = new Set(['BLOB_MISSING', 'DIGEST_MISMATCH', 'SIZE_MISMATCH'])

/** Remembers that no reader can use the document that an error is about: it is damaged, and not read in two ways. */
export function markMalformed(error: ImgtoolError): ImgtoolError {
  malformed.add(error)
  return error
}

/**
 * Whether an error is damage of one image, for which others of its archive need not suffer. A limit is none, and neither is what
 * two readers would understand in two ways.
 */
export function isDamageOfImage(error: unknown): error is ImgtoolError {
  return isImgtoolError(error) && (codesOfImage.has(error.code) || malformed.has(error))
}
