/** What all codecs share: whose error it was, and who closes what. */
import type {Duplex} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {ImgtoolError} from '../errors.ts'
import type {Compression} from './detect.ts'

/**
 * Options of every engine of node:zlib. Large chunks save half of the time. With a high water mark of one byte a piece is
 * consumed before the next one is asked for: sources reuse their buffers, and zstd depends on where pieces end.
 */
export const engineOptions = {chunkSize: 256 * 1024, writableHighWaterMark: 1}

/**
 * Runs a decoder. What the source throws passes through as it is; what the decoder throws becomes COMPRESSION_INVALID.
 *
 * @param run decodes; it may leave the pieces unread when it fails
 */
export async function* decode(
  source: AsyncIterable<Buffer>,
  compression: Compression,
  run: (pieces: AsyncIterable<Buffer>) => AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  let failure: {readonly error: unknown} | undefined
  async function* watched(): AsyncGenerator<Buffer> {
    try {
      yield* source
    } catch (error) {
      failure = {error}
      throw error
    }
  }
  const pieces = watched()
  try {
    yield* run(pieces)
  } catch (error) {
    if (failure !== undefined) throw failure.error
    throw error instanceof ImgtoolError
      ? error
      : damaged(compression, error instanceof Error ? error.message : '', error)
  } finally {
    await pieces.return(undefined)
  }
}

/** Feeds a stream of node:zlib, with back-pressure. */
export async function* runEngine(pieces: AsyncIterable<Buffer>, engine: Duplex): AsyncGenerator<Buffer> {
  const fed = pipeline(pieces, engine)
  // Whoever is awaiting output learns of a failure there; until then nobody awaits this.
  fed.catch(() => {})
  try {
    yield* engine
    await fed
  } finally {
    engine.destroy()
    await fed.catch(() => {})
  }
}

/** The error for data that no encoder wrote. */
export function damaged(compression: Compression, detail: string, cause?: unknown): ImgtoolError {
  return new ImgtoolError('COMPRESSION_INVALID', `Cannot decompress ${compression} data: ${detail}`, {cause})
}
