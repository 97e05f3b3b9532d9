/** What the system says when an archive cannot be read, in the words of this tool. */
import {getSystemErrorMap} from 'node:util'
import {codeOfErrno, type ErrorDetails, ImgtoolError} from '../errors.ts'

/** A failed system call as `CODE, meaning`. */
export function describeSystemError({code, errno}: NodeJS.ErrnoException): string {
  const [, meaning] = getSystemErrorMap().get(errno ?? 0) ?? []
  return [code, meaning].filter(Boolean).join(', ')
}

/**
 * Turns an error of a system call into one of ours; anything else is returned as it is.
 *
 * @param what was to be read, printable
 * @returns SOURCE_NOT_FOUND, PERMISSION_DENIED or SYSTEM_ERROR
 */
export function explainSystemError(
  error: unknown,
  what: string,
  where: Pick<ErrorDetails, 'archive' | 'entry'>,
): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (code === undefined || error instanceof ImgtoolError) return error
  const details = {...where, cause: error}
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new ImgtoolError('SOURCE_NOT_FOUND', `Cannot open "${what}": no such file or directory`, details)
  }
  const message = `Cannot read "${what}": ${describeSystemError(error as NodeJS.ErrnoException)}`
  return new ImgtoolError(codeOfErrno(code), message, details)
}
