/** A temporary file without a name, for what cannot be read by position: standard input and compressed archives. */
import {randomBytes} from 'node:crypto'
import {writeSync} from 'node:fs'
import {type FileHandle, open, unlink} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {codeOfErrno, ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {printableText} from '../text.ts'
import {describeSystemError} from './system-error.ts'

/**
 * Writes a stream to an unlinked file in the temporary directory.
 *
 * @returns the open file, readable by position; who calls closes it, and the system then frees the space, whatever happens
 * @throws {ImgtoolError} NO_SPACE, PERMISSION_DENIED or SYSTEM_ERROR that names the directory, LIMIT_EXCEEDED beyond
 *   `limits.bytes`; and what the stream throws
 */
export async function spool(
  source: AsyncIterable<Buffer>,
  limits: Limits,
): Promise<{handle: FileHandle; size: number}> {
  const file = await openSpool()
  try {
    for await (const chunk of source) {
      checkLimit(limits, 'bytes', file.size + chunk.length, 'decompressed bytes of the archive')
      await file.write(chunk)
    }
    return file
  } catch (error) {
    await file.handle.close()
    throw error
  }
}

/** An unlinked file that grows. Who opens it closes its handle. */
export interface Spool {
  readonly handle: FileHandle
  readonly size: number
  /** @throws {ImgtoolError} NO_SPACE, PERMISSION_DENIED or SYSTEM_ERROR */
  write(chunk: Buffer): Promise<void>
}

/** @throws {ImgtoolError} as {@link Spool.write} */
export async function openSpool(): Promise<Spool> {
  const handle = await explained(openNameless())
  let size = 0
  return {
    handle,
    get size() {
      return size
    },
    async write(chunk) {
      await explained(writeAt(handle, chunk, size))
      size += chunk.length
    },
  }
}

async function openNameless(): Promise<FileHandle> {
  const path = join(tmpdir(), `imgtool-${randomBytes(12).toString('hex')}`)
  const handle = await open(path, 'wx+', 0o600)
  await unlink(path)
  return handle
}

/** Writes all of a chunk, at once: to have another thread write costs more than to copy to the system's memory. */
export async function writeAt({fd}: FileHandle, chunk: Buffer, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) done += writeSync(fd, chunk, done, chunk.length - done, position + done)
}

/** Errors of the temporary file must not be taken for errors of the archive. */
async function explained<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    const {code = ''} = error as NodeJS.ErrnoException
    const reason = describeSystemError(error as NodeJS.ErrnoException)
    throw new ImgtoolError(codeOfErrno(code), `Cannot spool the archive in "${printableText(tmpdir())}": ${reason}`, {
      hint: 'Set TMPDIR to a directory with room for the uncompressed archive',
      cause: error,
    })
  }
}
