/** A blob that is a range of an open file. */
import type {FileHandle} from 'node:fs/promises'
import {ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'
import {type ChunkSource, Chunks} from '../thread/chunks.ts'
import type {Blob} from './archive.ts'
import {explainSystemError} from './system-error.ts'

/** Chunks of a stream at a time: one at work, the others being read. */
const chunksAhead = 4

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
    stream: (buffers = new Chunks(chunksAhead)) => streamRange(range, buffers),
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

/** Reads ahead, so that nobody waits for the disk. */
async function* streamRange(range: Range, buffers: ChunkSource): AsyncGenerator<Buffer> {
  const handle = await range.open()
  const ahead: {readonly buffer: Buffer; readonly filled: Promise<Buffer>}[] = []
  let position = 0
  const readAhead = () => {
    for (; position < range.size && ahead.length < chunksAhead; position += ahead.at(-1)!.buffer.length) {
      const buffer = buffers.take()
      const filled = readFully(range, handle, buffer.subarray(0, range.size - position), position)
      // The consumer may leave before this is waited for: its failure must not surface as an unhandled rejection.
      filled.catch(() => {})
      ahead.push({buffer, filled})
    }
  }
  try {
    for (readAhead(); ahead.length > 0; readAhead()) {
      yield await ahead[0]!.filled
      buffers.release(ahead.shift()!.buffer)
    }
  } finally {
    // Whoever takes these buffers next must not find them still being read into.
    await Promise.allSettled(ahead.map(({filled}) => filled))
    for (const {buffer} of ahead) buffers.release(buffer)
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
