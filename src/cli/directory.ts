/** A directory that the user types, which cannot be a pipe. */
import {standardOutput} from '../destination.ts'
import {ImgtoolError} from '../errors.ts'

/**
 * Refuses `-`, which everywhere else means a pipe, so that nobody finds a directory of that name.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID
 */
export function checkDirectory(text: string): string {
  if (text !== standardOutput) return text
  throw new ImgtoolError('REFERENCE_INVALID', 'Cannot use "-": a directory cannot be standard input or output', {
    hint: 'Write ./- for a directory of that name',
  })
}

/** {@link checkDirectory} for arguments; of a flag oclif would say how it is parsed. */
export const parseDirectory = async (text: string) => checkDirectory(text)
