/** Writes the root file system of an image as one tar. */
import {ImgtoolError} from './errors.ts'
import {type FlattenImageOptions, flattenImage} from './flatten-image.ts'
import type {Image} from './image/model.ts'
import type {FlatFacts} from './layer/flatten.ts'
import {explainWriteError, openNewFile, writeToStandardOutput} from './output.ts'
import {startHashing} from './threads.ts'

export interface ExportOptions extends Omit<FlattenImageOptions, 'directoriesLast' | 'tools'> {
  /** Replace a file that exists. @default false */
  readonly force?: boolean | undefined
}

/** What was written. */
export interface ExportResult extends Omit<FlatFacts, 'whiteouts'> {
  /** Bytes of the tar. */
  readonly tarSize: number
}

/** What stands for standard output. */
const standardOutput = '-'

/**
 * Writes what {@link unpackImage} would make, as a tar: to a file, which appears complete and verified or not at all, or to
 * standard output, where only the exit code tells whether all of it was right.
 *
 * The same image gives the same bytes. Nothing is unpacked: memory is some 100 bytes an entry.
 *
 * @param path of the file, or `-`
 * @throws {ImgtoolError} TARGET_EXISTS, TARGET_INVALID, PERMISSION_DENIED, NO_SPACE, PARENT_MISSING, BLOB_MISSING, and
 *   whatever reading layers throws
 */
export async function exportImage(image: Image, path: string, options: ExportOptions = {}): Promise<ExportResult> {
  if (path === standardOutput) return write(image, writeToStandardOutput, options)
  try {
    await using file = await openNewFile(path, options.force ?? false)
    const result = await write(image, (bytes) => file.write(bytes), options)
    options.signal?.throwIfAborted()
    await file.commit()
    return result
  } catch (error) {
    throw error instanceof ImgtoolError ? error : explainWriteError(error, path)
  }
}

async function write(
  image: Image,
  take: (bytes: Buffer) => Promise<void>,
  {force: _, ...options}: ExportOptions,
): Promise<ExportResult> {
  await using threads = startHashing(image.layers.reduce((sum, {blob}) => sum + blob.size, 0))
  const pieces = flattenImage(image, 0, {...options, directoriesLast: true, tools: threads.tools})
  let tarSize = 0
  for (let step = await pieces.next(); ; step = await pieces.next()) {
    if (step.done) {
      const {entries, bytes} = step.value
      return {entries, bytes, tarSize}
    }
    await take(step.value)
    tarSize += step.value.length
  }
}
