/** What the system says when an archive cannot be read, in the words of this tool. */
import {type ErrorDetails, ImgtoolError} from '../errors.ts'

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
  const denied = code === 'EACCES' || code === 'EPERM'
  return new ImgtoolError(denied ? 'PERMISSION_DENIED' : 'SYSTEM_ERROR', `Cannot read "${what}": ${code}`, details)
}
