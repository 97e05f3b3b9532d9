/** Writes the root file system of an image as one tar. */
import {type Choice, type CompressionOptions, type Compressor, startCompressor} from './compression/compress.ts'
import {standardOutput, type TarCompression} from './destination.ts'
import {type FlattenImageOptions, flattenImage} from './flatten-image.ts'
import {type Image, storedSize} from './image/model.ts'
import type {FlatFacts} from './layer/flatten.ts'
import {explainWriteError, openNewFile, writeToStandardOutput} from './output.ts'
import {startHashing} from './threads.ts'

export interface ExportOptions
  extends Omit<FlattenImageOptions, 'directoriesLast' | 'tools'>,
    Omit<CompressionOptions, 'compression'> {
  /** Replace a file that exists. @default false */
  readonly force?: boolean | undefined
  /** Of the tar. @default 'none' */
  readonly compression?: TarCompression | undefined
}

/** What was written. */
export interface ExportResult extends Omit<FlatFacts, 'whiteouts'> {
  /** Bytes of the tar. */
  readonly tarSize: number
  /** Bytes that were written. */
  readonly size: number
  /** Who compressed, where something was compressed. */
  readonly compressor?: Choice
}

/**
 * Writes what {@link unpackImage} would make, as a tar: to a file, which appears complete and verified or not at all, or to
 * standard output, where only the exit code tells whether all of it was right.
 *
 * The same image gives the same bytes. Nothing is unpacked: memory is some 100 bytes an entry. Times are those of the image.
 *
 * @param path of the file, or `-`
 * @throws {ImgtoolError} REFERENCE_INVALID, PLATFORM_UNSUPPORTED for the compression, TARGET_EXISTS, TARGET_INVALID, PERMISSION_DENIED, NO_SPACE, PARENT_MISSING, BLOB_MISSING, and
 *   whatever reading layers throws
 */
export async function exportImage(image: Image, path: string, options: ExportOptions = {}): Promise<ExportResult> {
  const {compression = 'none', force = false, signal} = options
  // A level that the compressor does not have is found before there is a file.
  await using compressor = compression === 'none' ? undefined : await startCompressor({...options, compression})
  if (path === standardOutput) return write(image, writeToStandardOutput, options, compressor)
  try {
    await using file = await openNewFile(path, force)
    const result = await write(image, (bytes) => file.write(bytes), options, compressor)
    signal?.throwIfAborted()
    await file.commit()
    return result
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

async function write(
  image: Image,
  take: (bytes: Buffer) => Promise<void>,
  {limits, onProgress, onWarning, signal}: ExportOptions,
  compressor: Compressor | undefined,
): Promise<ExportResult> {
  await using threads = startHashing(storedSize(image))
  const {tools} = threads
  const result = {entries: 0, bytes: 0, tarSize: 0, size: 0}
  async function* tar(): AsyncGenerator<Buffer> {
    const facts = yield* flattenImage(image, 0, {directoriesLast: true, limits, onProgress, onWarning, signal, tools})
    result.entries = facts.entries
    result.bytes = facts.bytes
  }
  const counted = counting(tar(), (bytes) => {
    result.tarSize += bytes
  })
  for await (const piece of compressor?.compress(counted) ?? counted) {
    await take(piece)
    result.size += piece.length
  }
  return {...result, ...(compressor && {compressor: compressor.choice})}
}

async function* counting(source: AsyncIterable<Buffer>, count: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const piece of source) {
    count(piece.length)
    yield piece
  }
}
