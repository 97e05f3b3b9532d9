/**
 * What can go wrong with an archive, a target or a request, each with its own code.
 *
 * Damage in data and refusals are `ImgtoolError`; a bug in imgtool is any other error.
 */

/** Every code an {@link ImgtoolError} can carry, with what it means. The README's table is checked against this one. */
export const errorCodes = {
  REFERENCE_INVALID: 'a reference or an option cannot be understood',
  SOURCE_NOT_FOUND: 'the archive does not exist or cannot be read',
  FORMAT_UNKNOWN: 'the input is not a saved image',
  ARCHIVE_TRUNCATED: 'the archive ends too early',
  ARCHIVE_INVALID: 'the archive itself is damaged or ambiguous',
  DOCUMENT_INVALID: 'a JSON document of the archive is malformed or contradicts another',
  IMAGE_NOT_FOUND: 'no image of the archive has that name, index, platform or id',
  IMAGE_AMBIGUOUS: 'several images match and none was chosen',
  IMAGE_USED: 'a container or another image needs the image that is to be removed',
  IMAGE_UNSUITABLE: 'the format that was asked for cannot hold the image',
  PARENT_CYCLE: 'the parents of a layer form a cycle',
  PARENT_MISSING: 'the parent of a layer is not in the archive',
  BLOB_MISSING: 'a layer, config or manifest is not in the archive',
  DIGEST_INVALID: 'a digest or id is malformed',
  DIGEST_MISMATCH: 'bytes do not have the digest they are named by',
  SIZE_MISMATCH: 'bytes do not have the size they are said to have',
  COMPRESSION_UNSUPPORTED: 'the compression is known but cannot be read',
  COMPRESSION_INVALID: 'compressed bytes are damaged',
  TAR_INVALID: 'a layer is not a well-formed tar',
  TAR_TRUNCATED: 'a layer ends in the middle of an entry',
  ENTRY_INVALID: 'an entry of a layer is refused',
  PATH_ESCAPES: 'the name of an entry leaves the root file system',
  LINK_INVALID: 'a link of a layer leads nowhere or out of the root file system',
  WHITEOUT_INVALID: 'a whiteout names nothing that could be deleted',
  PATH_NOT_FOUND: 'the image has no such path or layer',
  LIMIT_EXCEEDED: 'a limit was reached',
  TARGET_EXISTS: 'the target exists and is not empty',
  TARGET_INVALID: 'the target cannot be made or replaced',
  STORE_INVALID: 'the data-root is damaged or lacks what it refers to',
  STORE_IN_USE: 'a docker daemon runs on the data-root',
  PERMISSION_DENIED: 'the system does not permit it',
  NO_SPACE: 'no space, no inodes or no quota is left',
  SYSTEM_ERROR: 'a system call failed',
  PLATFORM_UNSUPPORTED: 'this operating system cannot do it',
  INTERRUPTED: 'a signal ended the run',
} as const

export type ErrorCode = keyof typeof errorCodes

/** What the system refuses for want of room or of a right, whatever was asked of it. */
const errnoCodes: ReadonlyMap<string, ErrorCode> = new Map([
  ['ENOSPC', 'NO_SPACE'],
  ['EDQUOT', 'NO_SPACE'],
  ['EFBIG', 'NO_SPACE'],
  ['EACCES', 'PERMISSION_DENIED'],
  ['EPERM', 'PERMISSION_DENIED'],
  ['EROFS', 'PERMISSION_DENIED'],
])

/** The code for a system call that failed. @param name of its errno, such as `ENOSPC` */
export function codeOfErrno(name: string): ErrorCode {
  return errnoCodes.get(name) ?? 'SYSTEM_ERROR'
}

/** What such a code means, beside the name of the errno. */
export const errnoReasons: Partial<Record<ErrorCode, string>> = {
  NO_SPACE: 'no space, inodes or quota left',
  PERMISSION_DENIED: 'not permitted',
}

/** What an error is about, beside its message. */
export interface ErrorDetails {
  /** One imperative line that helps, such as a command to run. */
  readonly hint?: string
  /** The archive, as the user named it. */
  readonly archive?: string
  /** The layer: its number, base first, from 0. */
  readonly layer?: number
  /** The entry of the layer, or the member of the archive; bytes as latin1. */
  readonly entry?: string
  readonly expected?: string
  readonly actual?: string
  readonly cause?: unknown
}

/** A refusal or a failure that is not a bug: one sentence, a stable code, a hint. */
export class ImgtoolError extends Error {
  override readonly name = 'ImgtoolError'
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : {cause: details.cause})
    this.code = code
    this.details = details
  }

  /** The same error with more known about where it happened. Inner knowledge wins. */
  within(where: Pick<ErrorDetails, 'archive' | 'layer' | 'entry'>): ImgtoolError {
    return new ImgtoolError(this.code, this.message, {...where, ...this.details, cause: this.cause ?? this})
  }
}

/** Tells damage and refusals from bugs. */
export function isImgtoolError(error: unknown): error is ImgtoolError {
  return error instanceof ImgtoolError
}
