/** Opens a file that is one blob, such as the tar of a layer, and no archive of several. */
import {type FileHandle, open} from 'node:fs/promises'
import process from 'node:process'
import {ImgtoolError} from '../errors.ts'
import type {Limits} from '../limits.ts'
import {fromText, printableText} from '../text.ts'
import type {Blob} from './archive.ts'
import {rangeBlob} from './file-range.ts'
import {spool} from './spool.ts'
import {explainSystemError} from './system-error.ts'

/** A blob and the file that it is in. Dispose of it. */
export interface LoneBlob extends AsyncDisposable {
  readonly blob: Blob
}

/**
 * Opens a file; a pipe, or `-` for standard input, is copied to a file without a name.
 *
 * @throws {ImgtoolError} SOURCE_NOT_FOUND, PERMISSION_DENIED, SYSTEM_ERROR, NO_SPACE, LIMIT_EXCEEDED
 */
export async function openBlob(path: string, limits: Limits): Promise<LoneBlob> {
  const label = path === '-' ? 'standard input' : path
  try {
    const {handle, size} = await openFile(path, limits)
    const range = {name: fromText(label), offset: 0, size, open: async () => handle, close: async () => {}}
    return {blob: rangeBlob(range), [Symbol.asyncDispose]: () => handle.close()}
  } catch (error) {
    if (error instanceof ImgtoolError) throw error.within({archive: label})
    throw explainSystemError(error, printableText(label), {archive: label})
  }
}

async function openFile(path: string, limits: Limits): Promise<{handle: FileHandle; size: number}> {
  if (path === '-') return spool(process.stdin, limits)
  const handle = await open(path, 'r')
  try {
    const stats = await handle.stat()
    if (stats.isDirectory()) throw new ImgtoolError('FORMAT_UNKNOWN', 'Cannot read a directory as the tar of a layer')
    if (stats.isFile()) return {handle, size: stats.size}
    return await spool(handle.createReadStream({autoClose: false}), limits)
  } catch (error) {
    await handle.close()
    throw error
  }
}
