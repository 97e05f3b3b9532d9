/** A blob that is a range of an open file. */
import {readSync} from 'node:fs'
import type {FileHandle} from 'node:fs/promises'
import {setImmediate} from 'node:timers/promises'
import {ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'
import {type ChunkSource, Chunks} from '../thread/chunks.ts'
import type {Blob, OpenBlob} from './archive.ts'
import {explainSystemError} from './system-error.ts'

/** Chunks after which the event loop gets its turn. */
const chunksPerTurn = 16

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
    openFile: () => openRange(range),
    stream: (buffers = new Chunks(1)) => streamRange(range, buffers),
  }
}

async function readRange(range: Range, position: number, length: number): Promise<Buffer> {
  const handle = await range.open()
  try {
    const wanted = Math.max(0, Math.min(length, range.size - position))
    return readFully(range, handle, Buffer.allocUnsafe(wanted), position)
  } finally {
    await range.close(handle)
  }
}

/**
 * Reads chunk by chunk, and waits for each: to have another thread read costs more than to copy from the system's memory, and
 * what is not there yet the system reads ahead by itself.
 */
async function* streamRange(range: Range, buffers: ChunkSource): AsyncGenerator<Buffer> {
  const handle = await range.open()
  let chunk: Buffer | undefined
  try {
    for (let position = 0, turn = 0; position < range.size; position += chunk.length, turn++) {
      // Signals are handled by the event loop, which nothing here would let run.
      if (turn % chunksPerTurn === 0) await setImmediate()
      chunk = buffers.take()
      yield readFully(range, handle, chunk.subarray(0, range.size - position), position)
      buffers.release(chunk)
    }
    chunk = undefined
  } finally {
    if (chunk !== undefined) buffers.release(chunk)
    await range.close(handle)
  }
}

function readFully(range: Range, {fd}: FileHandle, buffer: Buffer, position: number): Buffer {
  for (let filled = 0; filled < buffer.length; ) {
    const bytesRead = readSome(range, fd, buffer.subarray(filled), position + filled)
    if (bytesRead === 0) throw truncated(range, position + filled)
    filled += bytesRead
  }
  return buffer
}

async function openRange(range: Range): Promise<OpenBlob> {
  const handle = await range.open()
  return {
    descriptor: handle.fd,
    position: range.offset,
    size: range.size,
    truncated: (read) => truncated(range, read),
    unreadable: (code) => explainSystemError({code}, printable(range.name), {entry: range.name}) as Error,
    close: () => range.close(handle),
  }
}

function truncated({name, size}: Range, read: number): ImgtoolError {
  const message = `Cannot read "${printable(name)}": the archive ends after ${read} of its ${size} bytes`
  return new ImgtoolError('ARCHIVE_TRUNCATED', message, {entry: name})
}

function readSome(range: Range, descriptor: number, buffer: Buffer, position: number): number {
  try {
    return readSync(descriptor, buffer, 0, buffer.length, range.offset + position)
  } catch (error) {
    throw explainSystemError(error, printable(range.name), {entry: range.name})
  }
}
