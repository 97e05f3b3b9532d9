/** A blob that is a range of an open file. */
import type {FileHandle} from 'node:fs/promises'
import {ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'
import type {Blob} from './archive.ts'
import {explainSystemError} from './system-error.ts'

/** Bytes read at a time by {@link Blob.stream}: large enough that system calls do not count, small enough for two in memory. */
const chunkSize = 1024 * 1024

/** Where a blob's bytes lie. `open` may be called often; what it returns is closed only where `close` says so. */
export interface Range {
  readonly name: ByteString
  readonly offset: number
  readonly size: number
  open(): Promise<FileHandle>
  close(handle: FileHandle): Promise<void>
}

/** Makes a {@link Blob} of a range. */
export function rangeBlob(range: Range): Blob {
  return {
    name: range.name,
    size: range.size,
    read: (position, length) => readRange(range, position, length),
    stream: () => streamRange(range),
  }
}

async function readRange(range: Range, position: number, length: number): Promise<Buffer> {
  const handle = await range.open()
  try {
    const wanted = Math.max(0, Math.min(length, range.size - position))
    return await readFully(range, handle, Buffer.allocUnsafe(wanted), position)
  } finally {
    await range.close(handle)
  }
}

async function* streamRange(range: Range): AsyncGenerator<Buffer> {
  const handle = await range.open()
  try {
    const buffers = [
      Buffer.allocUnsafe(Math.min(chunkSize, range.size)),
      Buffer.allocUnsafe(Math.min(chunkSize, range.size)),
    ]
    const fill = (position: number, turn: number) =>
      readFully(range, handle, buffers[turn % 2]!.subarray(0, Math.min(chunkSize, range.size - position)), position)
    let next = range.size > 0 ? fill(0, 0) : undefined
    for (let position = 0, turn = 1; next !== undefined; turn++) {
      const chunk: Buffer = await next
      position += chunk.length
      next = position < range.size ? fill(position, turn) : undefined
      // The consumer may leave while the next read runs: its failure must not surface as an unhandled rejection.
      next?.catch(() => {})
      yield chunk
    }
  } finally {
    await range.close(handle)
  }
}

async function readFully(range: Range, handle: FileHandle, buffer: Buffer, position: number): Promise<Buffer> {
  let filled = 0
  while (filled < buffer.length) {
    const bytesRead = await readSome(range, handle, buffer.subarray(filled), position + filled)
    if (bytesRead === 0) {
      throw new ImgtoolError(
        'ARCHIVE_TRUNCATED',
        `Cannot read "${printable(range.name)}": the archive ends after ${position + filled} of its ${range.size} bytes`,
        {entry: range.name},
      )
    }
    filled += bytesRead
  }
  return buffer
}

async function readSome(range: Range, handle: FileHandle, buffer: Buffer, position: number): Promise<number> {
  try {
    return (await handle.read(buffer, 0, buffer.length, range.offset + position)).bytesRead
  } catch (error) {
    throw explainSystemError(error, printable(range.name), {entry: range.name})
  }
}
