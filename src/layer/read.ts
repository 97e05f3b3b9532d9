/** Reads a layer once: decompresses, hashes, checks, parses, and refuses in the end what is not what it was said to be. */
import type {Blob} from '../archive/archive.ts'
import {decompress} from '../compression/decompress.ts'
import {type Compression, detectCompression} from '../compression/detect.ts'
import {type Digest, digestAlgorithm, type RunningDigest} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
import type {Chunks} from '../thread/chunks.ts'
import {type Hasher, inlineHasher} from './hasher.ts'
import {type EntrySink, TarParser} from './tar/parser.ts'

/** What is known of a layer before it is read. */
export interface LayerSource {
  readonly index: number
  readonly blob: Blob
  readonly diffID?: Digest
  readonly digest?: Digest
}

/** What is known after. */
export interface LayerFacts {
  readonly diffID: Digest
  readonly compression: Compression
  /** Bytes of the uncompressed tar. */
  readonly tarSize: number
  readonly entries: number
}

/** What all layers of one image have used of their common limits. */
export interface Budget {
  readonly limits: Limits
  entries: number
  bytes: number
}

/** What reading may use beside the calling thread. */
export interface ReadTools {
  readonly hasher: Hasher
  /** Memory that layers are read into, for threads to see. */
  readonly chunks: Chunks
}

export interface ReadOptions {
  /** Ends the run between two chunks. */
  readonly signal?: AbortSignal | undefined
  readonly tools?: ReadTools | undefined
}

/** @returns a budget for the layers of one image */
export function startBudget(limits: Limits): Budget {
  return {limits, entries: 0, bytes: 0}
}

/** Bytes of the head that tell the compression. */
const headSize = 64
/** Bytes from where on the ratio of a compressed layer counts: small layers of zeros are common. */
const ratioFrom = 64 * 1024 * 1024

/**
 * Reads a layer into a sink.
 *
 * The sink sees entries before the digests are known to be right: whoever keeps what it made must wait for this to return.
 *
 * @throws {ImgtoolError} DIGEST_MISMATCH, TAR_INVALID and siblings, COMPRESSION_INVALID, LIMIT_EXCEEDED, BLOB_MISSING,
 *   with the layer's number; and what the sink throws
 */
export async function readLayer(
  layer: LayerSource,
  sink: EntrySink,
  budget: Budget,
  options: ReadOptions = {},
): Promise<LayerFacts> {
  try {
    return await readVerified(layer, sink, budget, options)
  } catch (error) {
    throw error instanceof ImgtoolError ? error.within({layer: layer.index}) : error
  }
}

async function readVerified(
  layer: LayerSource,
  sink: EntrySink,
  budget: Budget,
  {signal, tools}: ReadOptions,
): Promise<LayerFacts> {
  const {hasher = inlineHasher, chunks} = tools ?? {}
  const compression = detectCompression(await layer.blob.read(0, headSize))
  const isPlain = compression === 'none'
  // The bytes of an uncompressed layer are hashed once, for both of its digests.
  const isSame = isPlain && algorithmOf(layer.digest) === algorithmOf(layer.diffID)
  const watched = !isSame && layer.digest !== undefined
  const verify = (expected: Digest | undefined, what: string) =>
    new Verifier(expected, what, hasher.start(algorithmOf(expected), layer.blob.size))
  const plain = verify(layer.diffID, `the uncompressed tar of layer ${layer.index}`)
  const stored = watched ? verify(layer.digest, `layer ${layer.index}`) : undefined
  const bytes = layer.blob.stream(chunks)
  const source = stored?.watch(bytes) ?? bytes
  const {limits} = budget
  const parser = new TarParser(sink, limits, () =>
    checkLimit(limits, 'entries', ++budget.entries, 'entries of the image'),
  )
  const entriesBefore = budget.entries
  let tarSize = 0
  for await (const chunk of isPlain ? source : shared(decompress(source, compression), chunks)) {
    signal?.throwIfAborted()
    tarSize += chunk.length
    budget.bytes += chunk.length
    checkLimit(limits, 'bytes', budget.bytes, 'decompressed bytes of the image')
    if (!isPlain && compression !== 'zstd' && tarSize > ratioFrom) {
      checkLimit(limits, 'ratio', Math.floor(tarSize / layer.blob.size), 'decompressed bytes for one stored')
    }
    plain.update(chunk)
    parser.write(chunk)
  }
  parser.finish()
  const diffID = plain.verify()
  if (stored === undefined) checkDigest(layer.digest, diffID, `layer ${layer.index}`)
  else stored.verify()
  return {diffID, compression, tarSize, entries: budget.entries - entriesBefore}
}

function algorithmOf(digest: Digest | undefined): string {
  return digest === undefined ? 'sha256' : digestAlgorithm(digest)
}

/** Moves chunks to where other threads can see them. */
async function* shared(source: AsyncIterable<Buffer>, chunks: Chunks | undefined): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    if (chunks === undefined) yield chunk
    else yield* chunks.copies(chunk)
  }
}

/** Hashes bytes on their way and compares the result with what was promised. */
class Verifier {
  readonly #expected: Digest | undefined
  readonly #what: string
  readonly #running: RunningDigest

  constructor(expected: Digest | undefined, what: string, running: RunningDigest) {
    this.#expected = expected
    this.#what = what
    this.#running = running
  }

  update(chunk: Buffer): void {
    this.#running.update(chunk)
  }

  async *watch(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      this.update(chunk)
      yield chunk
    }
  }

  verify(): Digest {
    const actual = this.#running.digest()
    checkDigest(this.#expected, actual, this.#what)
    return actual
  }
}

function checkDigest(expected: Digest | undefined, actual: Digest, what: string): void {
  if (expected === undefined || expected === actual) return
  throw new ImgtoolError('DIGEST_MISMATCH', `Cannot use ${what}: its digest is ${actual}, expected ${expected}`, {
    expected,
    actual,
  })
}
