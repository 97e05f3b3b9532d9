/** Which archive an error is about. */
import {type ErrorCode, ImgtoolError} from '../errors.ts'

/** Codes of errors about what was asked for, about where things go, or about the system. */
const elsewhere: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'REFERENCE_INVALID',
  'STORE_IN_USE',
  'TARGET_EXISTS',
  'TARGET_INVALID',
  'PERMISSION_DENIED',
  'NO_SPACE',
  'SYSTEM_ERROR',
  'PLATFORM_UNSUPPORTED',
  'INTERRUPTED',
])

/** Names the archive at work in an error that is about it, or about a place in it. */
export function nameArchive<Thrown>(error: Thrown, archive: string | undefined): Thrown | ImgtoolError {
  if (!(error instanceof ImgtoolError) || archive === undefined) return error
  const {layer, entry} = error.details
  const isElsewhere = elsewhere.has(error.code) && layer === undefined && entry === undefined
  return isElsewhere ? error : error.within({archive})
}
