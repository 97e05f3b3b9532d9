/** The threads of one run, and the memory that they share. */
import type {FileThread} from './driver/file-writer.ts'
import {type Image, storedSize} from './image/model.ts'
import {HashThread} from './layer/hasher.ts'
import {compressionOf, type ReadTools} from './layer/read.ts'
import {Chunks} from './thread/chunks.ts'
import {hasSeveralCores} from './thread/worker.ts'

/** Bytes of an image from where on threads save more than they cost. */
const worthwhile = 8 * 1024 * 1024
/** Chunks at a time: two that are read, and two of the stored bytes where those are compressed; the others are at work. */
const chunkCount = 16

export interface Threads extends AsyncDisposable {
  /** Fills files; undefined where that is not worth a thread. */
  readonly files: FileThread | undefined
  /** Resolves when no thread is starting any more: until then they open files of their own. */
  readonly settled: Promise<unknown>
  /** What layers are read with. */
  readonly tools: ReadTools | undefined
}

const none: Threads = {
  files: undefined,
  settled: Promise.resolve(),
  tools: undefined,
  [Symbol.asyncDispose]: async () => {},
}

/**
 * Starts threads where they make the work faster. Dispose of them.
 *
 * @param wanted 1 for none, more for all; undefined for where that is faster
 */
export async function startThreads(image: Image, wanted: number | undefined): Promise<Threads> {
  const bytes = storedSize(image)
  if (wanted === undefined ? bytes < worthwhile || !hasSeveralCores() : wanted === 1) return none
  // Whatever may fail comes before the first thread, which nobody would end.
  const isGzip = await isMostlyGzip(image)
  const {FileThread} = await import('./driver/file-writer.ts')
  const {InflateThread} = await import('./compression/inflate-thread.ts')
  const chunks = new Chunks(chunkCount)
  const hasher = new HashThread(chunks)
  const files = new FileThread(chunks)
  const inflater = isGzip && InflateThread.isPossible() ? new InflateThread(chunks) : undefined
  return {
    files,
    settled: Promise.all([hasher.settled, files.settled, inflater?.settled]),
    tools: {hasher, chunks, inflater},
    async [Symbol.asyncDispose]() {
      await Promise.all([hasher.close(), files.close(), inflater?.close()])
    },
  }
}

async function isMostlyGzip({layers}: Image): Promise<boolean> {
  const [largest] = layers.toSorted((one, other) => other.blob.size - one.blob.size)
  return largest !== undefined && (await compressionOf(largest.blob)) === 'gzip'
}

/** Hashing on a thread of its own, as far as that is faster. Dispose of it. */
export type Hashing = Pick<Threads, 'tools'> & AsyncDisposable

/** Starts a thread for digests where there is enough to hash. @param bytes that will be read */
export function startHashing(bytes: number): Hashing {
  if (bytes < worthwhile || !hasSeveralCores()) return none
  const chunks = new Chunks(chunkCount)
  const hasher = new HashThread(chunks)
  return {tools: {hasher, chunks}, [Symbol.asyncDispose]: () => hasher.close()}
}
