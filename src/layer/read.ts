/** Reads a layer once: decompresses, hashes, checks, parses, and refuses in the end what is not what it was said to be. */
import type {Blob} from '../archive/archive.ts'
import {decompress} from '../compression/decompress.ts'
import {type Compression, detectCompression} from '../compression/detect.ts'
import {type Digest, digestAlgorithm, startDigest} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
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
 * @param signal ends the run between two chunks
 * @throws {ImgtoolError} DIGEST_MISMATCH, TAR_INVALID and siblings, COMPRESSION_INVALID, LIMIT_EXCEEDED, BLOB_MISSING,
 *   with the layer's number; and what the sink throws
 */
export async function readLayer(
  layer: LayerSource,
  sink: EntrySink,
  budget: Budget,
  signal?: AbortSignal,
): Promise<LayerFacts> {
  try {
    return await readVerified(layer, sink, budget, signal)
  } catch (error) {
    throw error instanceof ImgtoolError ? error.within({layer: layer.index}) : error
  }
}

async function readVerified(
  layer: LayerSource,
  sink: EntrySink,
  budget: Budget,
  signal?: AbortSignal,
): Promise<LayerFacts> {
  const compression = detectCompression(await layer.blob.read(0, headSize))
  const stored = new Verifier(layer.digest, `layer ${layer.index}`)
  const plain = new Verifier(layer.diffID, `the uncompressed tar of layer ${layer.index}`)
  const isPlain = compression === 'none'
  // The bytes of an uncompressed layer are hashed once, for both of its digests.
  const isSame = isPlain && algorithmOf(layer.digest) === algorithmOf(layer.diffID)
  const watched = !isSame && layer.digest !== undefined
  const source = watched ? stored.watch(layer.blob.stream()) : layer.blob.stream()
  const {limits} = budget
  const parser = new TarParser(sink, limits, () =>
    checkLimit(limits, 'entries', ++budget.entries, 'entries of the image'),
  )
  const entriesBefore = budget.entries
  let tarSize = 0
  for await (const chunk of isPlain ? source : decompress(source, compression)) {
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
  if (watched) stored.verify()
  else stored.verifySame(diffID)
  return {diffID, compression, tarSize, entries: budget.entries - entriesBefore}
}

function algorithmOf(digest: Digest | undefined): string {
  return digest === undefined ? 'sha256' : digestAlgorithm(digest)
}

/** Hashes bytes on their way and compares the result with what was promised. */
class Verifier {
  readonly #expected: Digest | undefined
  readonly #what: string
  readonly #running: ReturnType<typeof startDigest>

  constructor(expected: Digest | undefined, what: string) {
    this.#expected = expected
    this.#what = what
    this.#running = startDigest(algorithmOf(expected))
  }

  update(chunk: Buffer): void {
    this.#running.hash.update(chunk)
  }

  async *watch(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      this.update(chunk)
      yield chunk
    }
  }

  verify(): Digest {
    const actual = this.#running.digest()
    this.verifySame(actual)
    return actual
  }

  /** For bytes that another verifier has hashed. */
  verifySame(actual: Digest): void {
    if (this.#expected === undefined || this.#expected === actual) return
    throw new ImgtoolError(
      'DIGEST_MISMATCH',
      `Cannot use ${this.#what}: its digest is ${actual}, expected ${this.#expected}`,
      {
        expected: this.#expected,
        actual,
      },
    )
  }
}
