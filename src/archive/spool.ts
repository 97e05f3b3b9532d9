/** A temporary file without a name, for what cannot be read by position: standard input and compressed archives. */
import {randomBytes} from 'node:crypto'
import {type FileHandle, open, unlink} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'

/**
 * Writes a stream to an unlinked file in the temporary directory.
 *
 * @returns the open file, readable by position; who calls closes it, and the system then frees the space, whatever happens
 * @throws {ImgtoolError} NO_SPACE that names the directory, LIMIT_EXCEEDED beyond `limits.bytes`
 */
export async function spool(
  source: AsyncIterable<Buffer>,
  limits: Limits,
): Promise<{handle: FileHandle; size: number}> {
  const path = join(tmpdir(), `imgtool-${randomBytes(12).toString('hex')}`)
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'wx+', 0o600)
    await unlink(path)
    let size = 0
    for await (const chunk of source) {
      checkLimit(limits, 'bytes', size + chunk.length, 'decompressed bytes of the archive')
      for (let done = 0; done < chunk.length; ) {
        done += (await handle.write(chunk, done, chunk.length - done, size + done)).bytesWritten
      }
      size += chunk.length
    }
    return {handle, size}
  } catch (error) {
    await handle?.close()
    throw explain(error)
  }
}

function explain(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (error instanceof ImgtoolError || code === undefined) return error
  const full = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG'
  if (!full && !['EACCES', 'EROFS', 'ENOENT', 'EPERM'].includes(code)) return error
  return new ImgtoolError(
    full ? 'NO_SPACE' : 'PERMISSION_DENIED',
    `Cannot spool the archive in "${tmpdir()}": ${code}`,
    {hint: 'Set TMPDIR to a directory with room for the uncompressed archive', cause: error},
  )
}
