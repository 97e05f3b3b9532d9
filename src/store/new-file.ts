/** Writes the files of docker's data-root. */
import {closeSync, fsyncSync, openSync, writeSync} from 'node:fs'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'

/** Mode of files that are docker's own. */
const fileMode = 0o600

/** Writes a file that is not there, and waits until the disk has it. */
export function writeNew(path: string, bytes: Buffer): void {
  const descriptor = openSync(path, 'wx', fileMode)
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Does something to files, and says what the system refuses. @throws {ImgtoolError} NO_SPACE, PERMISSION_DENIED and the like */
export function explained<Result>(use: () => Result, action: string): Result {
  try {
    return use()
  } catch (error) {
    const {code} = error as NodeJS.ErrnoException
    if (error instanceof ImgtoolError || code === undefined) throw error
    throw os.systemError(code, action, error)
  }
}
