/** Opens directories that the user named. */
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import {fromText, printableText} from '../text.ts'

/**
 * @returns a descriptor, O_PATH
 * @throws {ImgtoolError} SOURCE_NOT_FOUND, PERMISSION_DENIED
 */
export function openDirectory(path: string): number {
  const descriptor = os.openAt(os.AT_FDCWD, fromText(path), os.O_PATH | os.O_DIRECTORY)
  if (descriptor !== os.ENOENT && descriptor !== os.ENOTDIR) return os.check(descriptor, 'open', fromText(path))
  const why = descriptor === os.ENOENT ? 'it is not there' : 'it is no directory'
  throw new ImgtoolError('SOURCE_NOT_FOUND', `Cannot open "${printableText(path)}": ${why}`)
}
